/** Random sequences of what happens to guest memory, against what it ought to hold. */
import * as fc from "fast-check"
import * as assert from "uvu/assert"
import type { NativeMemory } from "../../src/native.ts"
import { bytesOf, isFilledWith, page, ranges } from "./memory-files.ts"

export type MemoryStep =
  | { readonly do: "write"; readonly at: number; readonly count: number; readonly value: number }
  | { readonly do: "discard"; readonly pages: readonly boolean[]; readonly cut: number }
  | { readonly do: "read"; readonly at: number }
  | { readonly do: "dump" }

/** For memory of that many pages. */
export const memorySteps = (pages: number): fc.Arbitrary<readonly MemoryStep[]> => {
  const at = fc.nat({ max: pages - 1 })
  return fc.array(
    fc.oneof(
      fc.record({
        do: fc.constant("write" as const),
        at,
        count: fc.integer({ min: 1, max: 12 }),
        value: fc.nat({ max: 3 }),
      }),
      fc.record({
        do: fc.constant("discard" as const),
        pages: fc.array(fc.boolean(), { minLength: pages, maxLength: pages }),
        cut: fc.integer({ min: 1, max: 9 }),
      }),
      // A few long runs instead of many short ones.
      fc.record({ do: fc.constant("discard" as const), start: at, count: fc.integer({ min: 1, max: 20 }) }).map(
        ({ start, count }): MemoryStep => ({
          do: "discard",
          pages: Array.from({ length: pages }, (_, index) => index >= start && index < start + count),
          cut: 5,
        }),
      ),
      fc.record({ do: fc.constant("read" as const), at }),
      fc.record({ do: fc.constant("dump" as const) }),
    ),
    { minLength: 1, maxLength: 40 },
  )
}

/** Runs of pages, none longer than `cut`. */
const runsOf = (chosen: readonly boolean[], cut: number): Float64Array => {
  const pairs: Array<[number, number]> = []
  chosen.forEach((wanted, index) => {
    if (!wanted) return
    const last = pairs.at(-1)
    if (last !== undefined && last[0] + last[1] === index * page && last[1] < cut * page) last[1] += page
    else pairs.push([index * page, page])
  })
  return ranges(...pairs)
}

/** Whether a dump of the memory holds what is expected, and wrote nothing but data. */
export const checkDump = (
  memory: NativeMemory,
  expected: Buffer,
  dump: { readonly writtenBytes: number; readonly content: Buffer },
): void => {
  assert.is(Buffer.compare(dump.content, expected), 0, "the dump")
  let data = 0
  for (let at = 0; at < memory.size; at += page) if (!isFilledWith(expected.subarray(at, at + page), 0)) data += page
  assert.is(dump.writtenBytes, data)
}

/**
 * Goes through the steps and checks what is read against `expected`, which it keeps up to date.
 * @param look at every dump, and at the end: given the pages that were written or discarded so far
 */
export const follow = async (
  memory: NativeMemory,
  expected: Buffer,
  steps: readonly MemoryStep[],
  look: (touched: ReadonlySet<number>) => Promise<void>,
): Promise<void> => {
  const bytes = bytesOf(memory)
  const pages = memory.size / page
  const touched = new Set<number>()
  const fill = (value: number, start: number, end: number) => {
    expected.fill(value, start, end)
    for (let at = start; at < end; at += page) touched.add(at / page)
  }
  for (const step of steps) {
    if (step.do === "write") {
      const end = Math.min(pages, step.at + step.count) * page
      bytes.fill(step.value, step.at * page, end)
      fill(step.value, step.at * page, end)
    } else if (step.do === "discard") {
      const given = runsOf(step.pages, step.cut)
      const result = memory.discard(given)
      let total = 0
      for (let index = 0; index < given.length; index += 2) {
        fill(0, given[index]!, given[index]! + given[index + 1]!)
        total += given[index + 1]!
      }
      assert.is(result.discardedBytes + result.zeroedBytes, total)
    } else if (step.do === "read") {
      assert.is(bytes[step.at * page], expected[step.at * page])
    } else {
      await look(touched)
    }
  }
  await look(touched)
  assert.is(Buffer.compare(bytes, expected), 0, "the memory")
}
