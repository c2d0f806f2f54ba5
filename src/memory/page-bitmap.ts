/** Sets of pages as KVM's dirty log has them: one bit a page, little endian, in whole 64-bit words. */

/** Bytes of a page of guest memory. */
export const PAGE_BYTES = 4096

/** One bitmap for each region of guest memory, in the order of their addresses. */
export type PageBitmaps = readonly Uint8Array[]

/** An empty set for a region of `size` bytes. */
export const emptyBitmap = (size: number): Uint8Array => new Uint8Array(Math.ceil(size / PAGE_BYTES / 64) * 8)

/** Adds the pages from `first` to `last`. */
export const addPages = (bitmap: Uint8Array, first: number, last: number): void => {
  const firstByte = first >>> 3
  const lastByte = last >>> 3
  const fromFirst = (0xff << (first & 7)) & 0xff
  const toLast = 0xff >>> (7 - (last & 7))
  if (firstByte === lastByte) {
    bitmap[firstByte]! |= fromFirst & toLast
    return
  }
  bitmap[firstByte]! |= fromFirst
  bitmap.fill(0xff, firstByte + 1, lastByte)
  bitmap[lastByte]! |= toLast
}

const words = (bitmap: Uint8Array): Uint32Array =>
  new Uint32Array(bitmap.buffer, bitmap.byteOffset, bitmap.byteLength / 4)

/** Adds to `bitmap` what is in `other`, a set for the same region. */
export const addAll = (bitmap: Uint8Array, other: Uint8Array): void => {
  const into = words(bitmap)
  const from = words(other)
  for (let index = 0; index < into.length; index++) into[index]! |= from[index]!
}

/** What is in one of them, or in both. */
export const union = (one: PageBitmaps, other: PageBitmaps): PageBitmaps =>
  one.map((bitmap, index) => {
    const all = bitmap.slice()
    addAll(all, other[index]!)
    return all
  })
