/** Guest memory over plain array buffers, for tests that lay out rings. */
import type { GuestMemory } from "../../src/memory/guest-memory.ts"

export interface RingMemory extends GuestMemory {
  /** All bytes of the first region. */
  readonly raw: Uint8Array
  readonly view: DataView
}

/** One region of `size` bytes at `base`, and a second of as many at `second`, if given. */
export const makeRingMemory = (size: number, base = 0, second?: number): RingMemory => {
  const raw = new Uint8Array(size)
  const regions = [{ start: base, ram: raw }]
  if (second !== undefined) regions.push({ start: second, ram: new Uint8Array(size) })
  const bytes = (address: number, length: number): Uint8Array | undefined => {
    if (!Number.isSafeInteger(address) || !(length >= 0)) return undefined
    const region = regions.find(({ start }) => address >= start && address + length <= start + size)
    return region?.ram.subarray(address - region.start, address - region.start + length)
  }
  return {
    size: size * regions.length,
    regions: regions.map(({ start }) => ({ guestAddress: start, size })),
    bytes,
    contains: (address, length) => bytes(address, length) !== undefined,
    raw,
    view: new DataView(raw.buffer),
  }
}
