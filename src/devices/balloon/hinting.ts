/**
 * Free page hinting, virtio 1.2 section 5.5.6.5: the host starts a run, the guest names what it has free.
 *
 * ## Why a hinted page may be discarded here
 *
 * A hint is only that: the guest may use the page again before the host gets to it, and then a discard would destroy
 * what the guest has just written. Nothing in the protocol tells the host of it.
 *
 * Linux (`get_free_page_and_send` in drivers/virtio/virtio_balloon.c, since 5.0) takes a free block out of its
 * allocator, puts it into the queue, notifies, and only after the notification adds the block to the list from which
 * its shrinker takes pages back under memory pressure. From the allocation to the end of the notification nobody in the
 * guest can use the block. So this queue is a synchronous one: its notification is no ioeventfd but an access that the
 * vCPU waits for, and the block is gone before that vCPU goes on to put it on the list. Every block is notified of by
 * itself, because the device asks for the next notification whenever it has emptied the queue. A block that the vCPU
 * offered just before it was parked is met at the resume, before that vCPU has gone on.
 *
 * A driver that lets its hinted pages be used before its notification returns would lose data. No such driver is known,
 * but the specification allows it; this is why hinting is off unless a machine's configuration asks for it. Free page
 * reporting has no such question: there the driver keeps the pages until the buffer comes back.
 *
 * Ranges of any other run than the one that the host wants and the driver has announced are left alone. After a restore
 * a run is over: what the guest had sent before is not what is free now.
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import type { Virtqueue } from "../virtio/queue.ts"

/** The command id in the chain popped last, or `undefined` where it has none: four bytes that the device reads. */
export const commandOf = (queue: Virtqueue, memory: GuestMemory): number | undefined => {
  if (queue.readableBytes !== 4) return undefined
  let command = 0
  let shift = 0
  for (let index = 0; index < queue.readableSegments; index++) {
    const from = memory.bytes(queue.segmentAddress[index]!, queue.segmentLength[index]!)
    if (from === undefined) return undefined
    for (const byte of from) {
      command += byte * 2 ** shift
      shift += 8
    }
  }
  return command
}
