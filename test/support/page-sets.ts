/** Sets of pages, as tests like to write and read them. */
import { addPages, emptyBitmap } from "../../src/memory/page-bitmap.ts"

/** A bitmap for a region of `size` bytes with these pages of it. */
export const bitmapOf = (size: number, pages: Iterable<number>): Uint8Array => {
  const bitmap = emptyBitmap(size)
  for (const page of pages) addPages(bitmap, page, page)
  return bitmap
}

/** The pages in a bitmap, in order. */
export const pagesIn = (bitmap: Uint8Array): number[] =>
  Array.from({ length: bitmap.length * 8 }, (_, page) => page).filter(
    (page) => (bitmap[page >>> 3]! >>> (page & 7)) & 1,
  )
