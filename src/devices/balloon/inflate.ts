/**
 * The inflate queue, virtio 1.2 section 5.5.6.1: buffers of page frame numbers, 32 bits each.
 *
 * All that waits in the queue is gathered, sorted and merged, and discarded by one call. Only then are the buffers
 * given back, so that what the guest sees as given is given.
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import type { Virtqueue } from "../virtio/queue.ts"
import { BALLOON_PAGE_SIZE } from "./constants.ts"

/** Longest buffer that is taken: Linux sends 256 numbers, 1 KiB. */
export const MAX_INFLATE_BYTES = 64 * 1024
/** Numbers that one turn gathers. A buffer always fits into an empty collector. */
export const MAX_TURN_PFNS = MAX_INFLATE_BYTES / 4

/** Gathers page frame numbers, without an allocation for any of them. */
export class PfnCollector {
  length = 0
  readonly #pfns: Uint32Array
  readonly #bytes: Uint8Array
  #ranges = new Float64Array(512)

  constructor(capacity = MAX_TURN_PFNS) {
    this.#pfns = new Uint32Array(capacity)
    this.#bytes = new Uint8Array(this.#pfns.buffer)
  }

  fits(bytes: number): boolean {
    return 4 * this.length + bytes <= this.#bytes.length
  }

  clear(): void {
    this.length = 0
  }

  /** Adds numbers, little endian as the host's own. `bytes` is a whole number of them and fits. */
  add(bytes: Uint8Array): void {
    this.#bytes.set(bytes, 4 * this.length)
    this.length += bytes.length >>> 2
  }

  /** The pages as pairs of address and length, in order, adjacent and repeated ones merged. Valid until the next call. */
  ranges(): Float64Array {
    const pfns = this.#pfns.subarray(0, this.length)
    pfns.sort()
    let used = 0
    for (let at = 0; at < pfns.length; ) {
      const first = pfns[at]!
      let last = first
      for (at++; at < pfns.length && pfns[at]! <= last + 1; at++) last = pfns[at]!
      if (used + 2 > this.#ranges.length) this.#grow()
      this.#ranges[used++] = first * BALLOON_PAGE_SIZE
      this.#ranges[used++] = (last - first + 1) * BALLOON_PAGE_SIZE
    }
    return this.#ranges.subarray(0, used)
  }

  #grow(): void {
    const larger = new Float64Array(2 * this.#ranges.length)
    larger.set(this.#ranges)
    this.#ranges = larger
  }
}

/**
 * Takes the numbers of the chain popped last. False, with nothing taken, for a chain that is not numbers: nothing to
 * read, a segment with part of a number, or longer than any driver's.
 */
export const collectChain = (queue: Virtqueue, memory: GuestMemory, collector: PfnCollector): boolean => {
  const bytes = queue.readableBytes
  if (bytes === 0 || bytes > MAX_INFLATE_BYTES) return false
  for (let index = 0; index < queue.readableSegments; index++) {
    if (queue.segmentLength[index]! % 4 !== 0) return false
  }
  const before = collector.length
  for (let index = 0; index < queue.readableSegments; index++) {
    const from = memory.bytes(queue.segmentAddress[index]!, queue.segmentLength[index]!)
    if (from === undefined) {
      collector.length = before
      return false
    }
    collector.add(from)
  }
  return true
}
