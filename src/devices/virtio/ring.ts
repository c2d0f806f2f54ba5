/** Where the three parts of a split virtqueue lie, and windows onto them: virtio 1.2 section 2.7. */
import type { GuestMemory } from "../../memory/guest-memory.ts"

/** Guest-physical addresses of the three parts. */
export interface RingAddresses {
  readonly descriptorTable: number
  /** The available ring. */
  readonly driverArea: number
  /** The used ring. */
  readonly deviceArea: number
}

/** Windows onto the three parts, resolved once when the queue is made ready. */
export interface RingWindows {
  /** Four words a descriptor: address low, address high, length, flags | next << 16. */
  readonly descriptors: Uint32Array
  /** flags, idx, ring[size], used_event. */
  readonly available: Uint16Array
  /** flags, idx, then the elements, and avail_event as the last of all. */
  readonly used: Uint16Array
  /** The same bytes as `used`: element `i` has its id in word 1 + 2i and its length in word 2 + 2i. */
  readonly usedElements: Uint32Array
}

/** Bytes of the used ring with avail_event. */
export const usedRingBytes = (size: number): number => 6 + 8 * size

/** Whether `size` may be the size of a queue with at most `maxSize` entries. */
export const isQueueSize = (size: number, maxSize: number): boolean =>
  Number.isInteger(size) && size > 0 && size <= maxSize && (size & (size - 1)) === 0

/** Resolves the windows, or says why the driver's addresses will not do. */
export const resolveRing = (memory: GuestMemory, size: number, at: RingAddresses): RingWindows | string => {
  if (at.descriptorTable % 16 !== 0) return "descriptor table is not aligned to 16 bytes"
  if (at.driverArea % 2 !== 0) return "available ring is not aligned to 2 bytes"
  if (at.deviceArea % 4 !== 0) return "used ring is not aligned to 4 bytes"
  const descriptors = memory.bytes(at.descriptorTable, 16 * size)
  if (descriptors === undefined) return "descriptor table is not in guest memory"
  const available = memory.bytes(at.driverArea, 6 + 2 * size)
  if (available === undefined) return "available ring is not in guest memory"
  const used = memory.bytes(at.deviceArea, usedRingBytes(size))
  if (used === undefined) return "used ring is not in guest memory"
  if (descriptors.byteOffset % 4 !== 0 || available.byteOffset % 2 !== 0 || used.byteOffset % 4 !== 0) {
    return "guest memory is mapped at an odd offset"
  }
  return {
    descriptors: new Uint32Array(descriptors.buffer, descriptors.byteOffset, 4 * size),
    available: new Uint16Array(available.buffer, available.byteOffset, 3 + size),
    used: new Uint16Array(used.buffer, used.byteOffset, 3 + 4 * size),
    usedElements: new Uint32Array(used.buffer, used.byteOffset, 1 + 2 * size),
  }
}
