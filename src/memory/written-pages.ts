/**
 * The pages of guest memory that this process wrote: what devices put into it, and what was discarded. KVM's dirty log
 * sees only what the guest writes, and KVM itself.
 */
import type { GuestRange } from "./guest-memory.ts"
import { addAll, addPages, emptyBitmap, PAGE_BYTES, type PageBitmaps } from "./page-bitmap.ts"

export interface WrittenPages {
  /** Adds every page that the range touches. What lies outside guest memory is left out. Tens of nanoseconds. */
  mark(address: number, length: number): void
  /** Adds the pages of a bitmap of the region at `index`. */
  join(index: number, bitmap: Uint8Array): void
  /** The pages added since they were last taken. Goes on changing. */
  pages(): PageBitmaps
  /** Gives the pages, and begins anew. */
  take(): PageBitmaps
}

export const makeWrittenPages = (regions: readonly GuestRange[]): WrittenPages => {
  const make = () => regions.map(({ size }) => emptyBitmap(size))
  let bitmaps = make()
  return {
    mark: (address, length) => {
      for (let index = 0; index < regions.length; index++) {
        const { guestAddress, size } = regions[index]!
        const start = Math.max(address - guestAddress, 0)
        const end = Math.min(address + length - guestAddress, size)
        if (end <= start) continue
        addPages(bitmaps[index]!, Math.floor(start / PAGE_BYTES), Math.floor((end - 1) / PAGE_BYTES))
      }
    },
    join: (index, bitmap) => addAll(bitmaps[index]!, bitmap),
    pages: () => bitmaps,
    take: () => {
      const taken = bitmaps
      bitmaps = make()
      return taken
    },
  }
}
