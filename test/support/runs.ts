/** Runs of pages as random values, and what they mean page by page. */
import fc from "fast-check"
import type { NativeRuns } from "../../src/native.ts"
import { PAGE_BYTES, RUN_NUMBERS, ZEROS } from "../../src/snapshot/runs/runs.ts"

export interface DiffRuns {
  readonly runs: NativeRuns
  readonly memoryBytes: number
  /** The end of the last page in the file. */
  readonly dataBytes: number
}

interface Step {
  readonly gap: number
  readonly pages: number
  readonly zeros: boolean
  /** Pages of the file that are left out in front of this run's. */
  readonly skipped: number
}

const step = (pages: number): fc.Arbitrary<Step> =>
  fc.record({
    gap: fc.nat({ max: pages }),
    pages: fc.integer({ min: 1, max: pages }),
    zeros: fc.boolean(),
    skipped: fc.nat({ max: 2 }),
  })

const runsOf = (steps: readonly Step[], slack: number): DiffRuns => {
  let memoryPages = 0
  let filePages = 0
  const runs = steps.flatMap(({ gap, pages, zeros, skipped }) => {
    const offset = (memoryPages + gap) * PAGE_BYTES
    memoryPages += gap + pages
    if (zeros) return [offset, pages * PAGE_BYTES, ZEROS, 0]
    const fileOffset = (filePages + skipped) * PAGE_BYTES
    filePages += skipped + pages
    return [offset, pages * PAGE_BYTES, 0, fileOffset]
  })
  return {
    runs: Float64Array.from(runs),
    memoryBytes: (memoryPages + slack) * PAGE_BYTES,
    dataBytes: filePages * PAGE_BYTES,
  }
}

/** Runs of file 0 and of zeros, ascending and apart. @param pages most of a run, and of a gap */
export const diffRuns = ({ maximumRuns = 40, pages = 6 } = {}): fc.Arbitrary<DiffRuns> =>
  fc.tuple(fc.array(step(pages), { maxLength: maximumRuns }), fc.nat({ max: 4 })).map(([steps, slack]) => {
    return runsOf(steps, slack)
  })

/** One run as an object. */
export interface Run {
  readonly offset: number
  readonly bytes: number
  readonly file: number
  readonly fileOffset: number
}

export const listOf = (runs: NativeRuns): readonly Run[] =>
  Array.from({ length: runs.length / RUN_NUMBERS }, (_, index) => {
    const [offset = 0, bytes = 0, file = 0, fileOffset = 0] = runs.subarray(index * RUN_NUMBERS)
    return { offset, bytes, file, fileOffset }
  })
