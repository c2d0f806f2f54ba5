import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { PAGE_BYTES, type PageBitmaps } from "../../src/memory/page-bitmap.ts"
import { makeWrittenPages } from "../../src/memory/written-pages.ts"
import { bitmapOf, pagesIn } from "../support/page-sets.ts"

const GIB = 2 ** 30
const regions = [
  { guestAddress: 0, size: 100 * PAGE_BYTES },
  { guestAddress: 4 * GIB, size: 70 * PAGE_BYTES },
]

/** Guest-physical page numbers. */
const numbers = (bitmaps: PageBitmaps): number[] =>
  bitmaps.flatMap((bitmap, index) =>
    pagesIn(bitmap).map((page) => page + (regions[index]?.guestAddress ?? 0) / PAGE_BYTES),
  )

const isMemory = (page: number): boolean =>
  regions.some(({ guestAddress, size }) => page * PAGE_BYTES >= guestAddress && page * PAGE_BYTES < guestAddress + size)

const anyRange = fc.record({
  address: fc.oneof(
    fc.integer({ min: 0, max: 110 * PAGE_BYTES }),
    fc.integer({ min: 4 * GIB - 20 * PAGE_BYTES, max: 4 * GIB + 80 * PAGE_BYTES }),
  ),
  length: fc.oneof(fc.integer({ min: 0, max: 3 * PAGE_BYTES }), fc.integer({ min: 0, max: 120 * PAGE_BYTES })),
})

test("every page that a range touches is marked, and no other", () => {
  fc.assert(
    fc.property(fc.array(anyRange, { maxLength: 8 }), (ranges) => {
      const pages = makeWrittenPages(regions)
      const expected = new Set<number>()
      for (const { address, length } of ranges) {
        pages.mark(address, length)
        for (let page = Math.floor(address / PAGE_BYTES); page * PAGE_BYTES < address + length; page++) {
          if (length > 0 && isMemory(page)) expected.add(page)
        }
      }
      assert.equal(
        numbers(pages.take()),
        [...expected].sort((a, b) => a - b),
      )
      assert.equal(numbers(pages.take()), [])
    }),
  )
})

test("bitmaps of the kernel's join what was marked", () => {
  const pages = makeWrittenPages(regions)
  pages.mark(5 * PAGE_BYTES, 1)
  pages.join(0, bitmapOf(regions[0]!.size, [0, 5, 99]))
  pages.join(1, bitmapOf(regions[1]!.size, [69]))
  assert.equal(pages.take().map(pagesIn), [[0, 5, 99], [69]])
})

test("a range as long as memory, and addresses that are none, are of no harm", () => {
  const pages = makeWrittenPages(regions)
  pages.mark(-1e300, 2e300)
  pages.mark(Number.NaN, 10)
  pages.mark(2 ** 52, 2 ** 52)
  assert.is(numbers(pages.take()).length, 170)
})

test.run()
