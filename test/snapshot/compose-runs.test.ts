import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import type { NativeRuns } from "../../src/native.ts"
import { composeRuns, runsWithin } from "../../src/snapshot/runs/compose-runs.ts"
import { PAGE_BYTES, ZEROS } from "../../src/snapshot/runs/runs.ts"
import { diffRuns, listOf } from "../support/runs.ts"

/** Where each page of memory comes from, one by one: `[file, offset in it]`; `undefined` for the memory below. */
type Shadow = (readonly [number, number] | undefined)[]

const layOver = (shadow: Shadow, runs: NativeRuns, fileOf: (file: number) => number): void => {
  for (const { offset, bytes, file, fileOffset } of listOf(runs)) {
    for (let done = 0; done < bytes; done += PAGE_BYTES) {
      shadow[(offset + done) / PAGE_BYTES] = file === ZEROS ? [ZEROS, 0] : [fileOf(file), fileOffset + done]
    }
  }
}

const shadowOf = (layers: readonly NativeRuns[]): Shadow => {
  const shadow: Shadow = []
  layers.forEach((runs, index) => {
    layOver(shadow, runs, () => index)
  })
  return Array.from(shadow)
}

const pagesOf = (runs: NativeRuns): Shadow => {
  const shadow: Shadow = []
  layOver(shadow, runs, (file) => file)
  return Array.from(shadow)
}

/** Ascending and apart, and no two of them could be one. */
const assertTidy = (runs: NativeRuns): void => {
  const list = listOf(runs)
  list.forEach(({ offset, bytes, file, fileOffset }, index) => {
    assert.ok(bytes > 0)
    const next = list[index + 1]
    if (next === undefined) return
    assert.ok(offset + bytes <= next.offset)
    const goesOn = file === ZEROS || fileOffset + bytes === next.fileOffset
    assert.not.ok(offset + bytes === next.offset && file === next.file && goesOn)
  })
}

const layers = fc.array(diffRuns({ maximumRuns: 12 }), { maxLength: 9 }).map((diffs) => diffs.map(({ runs }) => runs))

test("every page comes from the newest layer that has it", () => {
  fc.assert(
    fc.property(layers, (chain) => {
      const composed = composeRuns(chain)
      assert.equal(pagesOf(composed), shadowOf(chain))
      assertTidy(composed)
    }),
    { numRuns: 1000 },
  )
})

test("so also where runs and gaps are of thousands of pages", () => {
  const large = fc.array(diffRuns({ maximumRuns: 6, pages: 4000 }), { maxLength: 5 })
  fc.assert(
    fc.property(large, (diffs) => {
      const chain = diffs.map(({ runs }) => runs)
      const composed = composeRuns(chain)
      assertTidy(composed)
      const actual = pagesOf(composed)
      const expected = shadowOf(chain)
      assert.is(actual.length, expected.length)
      assert.ok(expected.every((page, index) => page?.[0] === actual[index]?.[0] && page?.[1] === actual[index]?.[1]))
    }),
    { numRuns: 200 },
  )
})

test("how large memory is does not matter, only how many runs there are", () => {
  const memoryBytes = 2 ** 42
  const whole = (file: number) => Float64Array.of(0, memoryBytes, file, 0)
  const chain = Array.from({ length: 256 }, (_, index) => whole(index % 2 === 0 ? 0 : ZEROS))
  const page = Float64Array.of(2 ** 41, PAGE_BYTES, 0, PAGE_BYTES)
  assert.equal(
    composeRuns([...chain, page]),
    Float64Array.of(
      ...[0, 2 ** 41, ZEROS, 0],
      ...[2 ** 41, PAGE_BYTES, 256, PAGE_BYTES],
      ...[2 ** 41 + PAGE_BYTES, 2 ** 41 - PAGE_BYTES, ZEROS, 0],
    ),
  )
  const far = Float64Array.of(2 ** 52, PAGE_BYTES, 0, 0)
  assert.equal(composeRuns([page, far]).length, 8)
})

test("layers are left as they were", () => {
  fc.assert(
    fc.property(layers, (chain) => {
      const before = chain.map((runs) => runs.slice())
      composeRuns(chain)
      assert.equal(chain, before)
    }),
  )
})

test("a part of memory has what lies in it, from its own beginning on", () => {
  fc.assert(
    fc.property(layers, fc.nat({ max: 60 }), fc.integer({ min: 1, max: 60 }), (chain, first, pages) => {
      const composed = composeRuns(chain)
      const part = runsWithin(composed, first * PAGE_BYTES, pages * PAGE_BYTES)
      const whole = shadowOf(chain)
      const expected = Array.from({ length: pages }, (_, index) => whole[first + index])
      const actual = pagesOf(part)
      assert.ok(actual.length <= pages)
      assert.equal(
        Array.from({ length: pages }, (_, index) => actual[index]),
        expected,
      )
      assertTidy(part)
    }),
    { numRuns: 1000 },
  )
})

test("nothing over nothing is nothing", () => {
  assert.is(composeRuns([]).length, 0)
  assert.is(composeRuns([new Float64Array(0), new Float64Array(0)]).length, 0)
  assert.is(runsWithin(new Float64Array(0), 0, PAGE_BYTES).length, 0)
})

test.run()
