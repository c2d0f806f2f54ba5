/**
 * Guest memory as devices and loaders see it: guest-physical addresses, checked, over external buffers without a copy.
 *
 * A guest-physical address is a JavaScript number (below 2^53). Whatever comes from a guest is looked up with
 * {@link GuestMemory.bytes}, which answers `undefined` for anything that is not wholly inside one region.
 */
import type { NativeMemory } from "../native.ts"

/** A run of guest-physical addresses that is memory. */
export interface GuestRange {
  readonly guestAddress: number
  readonly size: number
}

/** One that is backed by one mapping. */
export interface GuestRegion extends GuestRange {
  readonly memory: NativeMemory
}

/** What a device is given of guest memory. */
export interface GuestMemory {
  /** Total size in bytes. */
  readonly size: number
  /** A view of `length` bytes at `address`, or `undefined` where the range is not wholly guest memory. */
  bytes(address: number, length: number): Uint8Array | undefined
  /** True where `bytes` would give a view. */
  contains(address: number, length: number): boolean
  /** The regions, in order of their addresses. */
  readonly regions: readonly GuestRange[]
}

/** Guest memory with the mappings behind it, for whoever saves or discards it. */
export interface MappedGuestMemory extends GuestMemory {
  readonly regions: readonly GuestRegion[]
}

/**
 * Guest memory is looked at in blocks of this size, each made when it is first needed: a device's rings lie in a few of
 * them, and V8 counts every byte of an external buffer as garbage to come.
 */
const BLOCK_BYTES = 2 * 2 ** 20

/** The blocks of one region. */
const makeBlocks = (region: GuestRegion): ((offset: number, length: number) => Uint8Array) => {
  const blocks = new Map<number, Uint8Array>()
  const blockAt = (index: number): Uint8Array => {
    const known = blocks.get(index)
    if (known !== undefined) return known
    const start = index * BLOCK_BYTES
    const block = new Uint8Array(region.memory.window(start, Math.min(BLOCK_BYTES, region.size - start)))
    blocks.set(index, block)
    return block
  }
  return (offset, length) => {
    const index = Math.floor(offset / BLOCK_BYTES)
    const start = offset - index * BLOCK_BYTES
    if (start + length <= BLOCK_BYTES) return blockAt(index).subarray(start, start + length)
    return new Uint8Array(region.memory.window(offset, length))
  }
}

/** Guest memory over mapped regions, which must be in order and not overlap. */
export const makeGuestMemory = (regions: readonly GuestRegion[]): MappedGuestMemory => {
  const views = regions.map((region) => ({
    start: region.guestAddress,
    end: region.guestAddress + region.size,
    bytes: makeBlocks(region),
  }))
  const viewOf = (address: number, length: number) => {
    if (!Number.isSafeInteger(address) || !(length >= 0)) return undefined
    for (const view of views) {
      if (address >= view.start && address + length <= view.end) return view
    }
    return undefined
  }
  return {
    regions,
    size: regions.reduce((total, region) => total + region.size, 0),
    contains: (address, length) => viewOf(address, length) !== undefined,
    bytes: (address, length) => {
      const view = viewOf(address, length)
      return view?.bytes(address - view.start, length)
    },
  }
}
