import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MAX_TURN_PFNS, PfnCollector } from "../../src/devices/balloon/inflate.ts"
import { PageRanges } from "../../src/devices/balloon/page-ranges.ts"
import { makeDiscard } from "../../src/memory/discard.ts"
import { PAGE, zeroing } from "../support/balloon-driver.ts"
import { makeRingMemory } from "../support/ring-memory.ts"

const bytesOf = (pfns: readonly number[]) => new Uint8Array(Uint32Array.from(pfns).buffer)
const pairsOf = (ranges: Float64Array) =>
  Array.from({ length: ranges.length / 2 }, (_, index) => [ranges[2 * index]!, ranges[2 * index + 1]!] as const)

/** Page by page. */
const naive = (pfns: readonly number[]): (readonly [number, number])[] => {
  const merged: [number, number][] = []
  for (const pfn of [...new Set(pfns)].sort((one, other) => one - other)) {
    const last = merged.at(-1)
    if (last !== undefined && last[0] + last[1] === pfn * PAGE) last[1] += PAGE
    else merged.push([pfn * PAGE, PAGE])
  }
  return merged
}

test("page numbers become the ranges of a naive model, whatever they are and however they come", () => {
  const pfn = fc.oneof(fc.nat(40), fc.nat(5000), fc.nat(0xffffffff), fc.constantFrom(0, 0xffffffff, 0xfffffffe))
  const collector = new PfnCollector()
  fc.assert(
    fc.property(fc.array(fc.array(pfn, { maxLength: 300 }), { maxLength: 8 }), (buffers) => {
      collector.clear()
      for (const buffer of buffers) collector.add(bytesOf(buffer))
      assert.equal(pairsOf(collector.ranges()), naive(buffers.flat()))
    }),
    { numRuns: 300 },
  )
})

test("a collector takes as much as fits, aligned or not", () => {
  const collector = new PfnCollector()
  const odd = new Uint8Array(1 + 4 * MAX_TURN_PFNS).subarray(1)
  odd.set(bytesOf(Array.from({ length: MAX_TURN_PFNS }, (_, index) => 2 * index)))
  assert.ok(collector.fits(odd.length))
  collector.add(odd)
  assert.not(collector.fits(4))
  assert.is(collector.ranges().length, 2 * MAX_TURN_PFNS)
  collector.clear()
  assert.is(collector.ranges().length, 0)
})

test("ranges of the guest are cut down to whole pages, and merged", () => {
  const range = fc.record({ address: fc.nat(40 * PAGE), length: fc.nat(5 * PAGE) })
  fc.assert(
    fc.property(fc.array(range, { maxLength: 20 }), (given) => {
      const ranges = new PageRanges()
      const pages = new Set<number>()
      for (const { address, length } of given) {
        let whole = 0
        for (let page = Math.ceil(address / PAGE); (page + 1) * PAGE <= address + length; page++) {
          pages.add(page)
          whole++
        }
        assert.is(ranges.add(address, length), length - whole * PAGE)
      }
      assert.equal(pairsOf(ranges.take()), naive([...pages]))
      assert.is(ranges.length, 0)
    }),
  )
})

test("a discard reaches each region once, nothing outside, and tells what it took", () => {
  const size = 8 * PAGE
  const gap = 4 * PAGE
  const start = [2 * PAGE, 2 * PAGE + size + gap] as const
  const memory = makeRingMemory(size, start[0], start[1])
  const both = start.map((at) => memory.bytes(at, size)!)
  const ranges = fc.array(fc.nat(30), { maxLength: 30 }).map(naive)
  fc.assert(
    fc.property(ranges, (pairs) => {
      const told: [number, number][] = []
      const calls: number[] = []
      const discard = makeDiscard(
        start.map((guestAddress, index) => {
          const region = zeroing(memory, guestAddress, size)
          return {
            guestAddress,
            size,
            memory: {
              discard: (given: Float64Array) => {
                calls.push(index)
                return region.discard(given)
              },
            },
          }
        }),
        (address, length) => told.push([address, length]),
      )
      for (const bytes of both) bytes.fill(1)
      const result = discard(Float64Array.from(pairs.flat()))
      const asked = new Set(
        pairs.flatMap(([at, length]) => Array.from({ length: length / PAGE }, (_, n) => at / PAGE + n)),
      )
      const inside = [...asked].filter((page) => start.some((at) => page * PAGE >= at && page * PAGE < at + size))
      assert.is(result.discardedBytes, inside.length * PAGE)
      assert.is(result.outsideBytes, (asked.size - inside.length) * PAGE)
      assert.is(result.failedBytes, 0)
      assert.equal(calls, [...new Set(calls)])
      assert.is(
        told.reduce((sum, [, length]) => sum + length, 0),
        result.discardedBytes,
      )
      for (const [index, bytes] of both.entries()) {
        for (let page = 0; page < size / PAGE; page++) {
          const wanted = asked.has(start[index]! / PAGE + page) ? 0 : 1
          assert.is(bytes[page * PAGE], wanted)
          assert.is(bytes[(page + 1) * PAGE - 1], wanted)
        }
      }
    }),
  )
})

test("a host that refuses is told of, and the other regions are still served", () => {
  const memory = makeRingMemory(PAGE)
  const refusing = {
    discard: () => {
      throw new Error("no memory for that")
    },
  }
  const discard = makeDiscard([
    { guestAddress: 0, size: 2 * PAGE, memory: refusing },
    { guestAddress: 2 * PAGE, size: PAGE, memory: zeroing(memory, 0, PAGE) },
  ])
  assert.equal(discard(Float64Array.of(PAGE, 3 * PAGE)), {
    discardedBytes: PAGE,
    zeroedBytes: 0,
    outsideBytes: PAGE,
    failedBytes: PAGE,
    failure: "no memory for that",
  })
})

test.run()
