/**
 * Guest memory as devices and loaders see it: guest-physical addresses, checked, over external buffers without a copy.
 *
 * A guest-physical address is a JavaScript number (below 2^53). Whatever comes from a guest is looked up with
 * {@link GuestMemory.bytes}, which answers `undefined` for anything that is not wholly inside one region.
 */
import type { NativeMemory } from "../native.ts"

/** A run of guest-physical addresses backed by one mapping. */
export interface GuestRegion {
  readonly guestAddress: number
  readonly size: number
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
  readonly regions: readonly GuestRegion[]
}

interface Chunk {
  readonly start: number
  readonly bytes: Uint8Array
}

/** Guest memory over mapped regions, which must be in order and not overlap. */
export const makeGuestMemory = (regions: readonly GuestRegion[]): GuestMemory => {
  const chunks: Chunk[] = regions.flatMap((region) =>
    region.memory.chunks.map((buffer, index) => ({
      start: region.guestAddress + index * region.memory.chunkBytes,
      bytes: new Uint8Array(buffer),
    })),
  )

  const regionOf = (address: number, length: number): GuestRegion | undefined => {
    for (const region of regions) {
      if (address >= region.guestAddress && address + length <= region.guestAddress + region.size) return region
    }
    return undefined
  }

  return {
    regions,
    size: regions.reduce((total, region) => total + region.size, 0),
    contains: (address, length) =>
      Number.isSafeInteger(address) && length >= 0 && regionOf(address, length) !== undefined,
    bytes: (address, length) => {
      if (!Number.isSafeInteger(address) || !(length >= 0)) return undefined
      for (const chunk of chunks) {
        const offset = address - chunk.start
        if (offset >= 0 && offset + length <= chunk.bytes.length) return chunk.bytes.subarray(offset, offset + length)
      }
      // Whole inside a region and yet inside no chunk: it straddles two, and gets a window of its own.
      const region = regionOf(address, length)
      return region && new Uint8Array(region.memory.window(address - region.guestAddress, length))
    },
  }
}
