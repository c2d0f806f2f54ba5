/** Files laid over memory, for tests of the native layer: runs as they are written down, and random ones. */
import { closeSync, readSync, writeSync } from "node:fs"
import * as fc from "fast-check"
import { loadNative, type NativeMemory } from "../../src/native.ts"
import { page } from "./memory-files.ts"

export type LaidRun = readonly [offset: number, length: number, file: number, fileOffset: number]
/** As the file of a run. */
export const zeros = -1
export const laidRuns = (...runs: readonly LaidRun[]) => new Float64Array(runs.flat())

/** A page of a file: never written, written with zeros, or data. */
type Content = "hole" | "zeros" | "data"
/** Pages of the memory of a random chain. */
export const chainPages = 48
const filePages = 12
const content: fc.Arbitrary<Content> = fc.constantFrom("hole", "hole", "zeros", "data", "data", "data")
const contents = (count: number) => fc.array(content, { minLength: count, maxLength: count })

interface RunWish {
  readonly gap: number
  readonly length: number
  readonly file: number
  readonly fileOffset: number
}

/** A base, files laid over it, and how much of that may become mappings. */
export interface Chain {
  readonly base: readonly Content[]
  readonly files: ReadonlyArray<readonly Content[]>
  readonly wishes: readonly RunWish[]
  readonly maximumLaidRuns: number
  readonly maximumOverlays: number
}

export const chains: fc.Arbitrary<Chain> = fc.record({
  base: contents(chainPages),
  files: fc.array(contents(filePages), { maxLength: 3 }),
  wishes: fc.array(
    fc.record({
      gap: fc.nat({ max: 3 }),
      length: fc.integer({ min: 1, max: 6 }),
      file: fc.integer({ min: zeros, max: 2 }),
      fileOffset: fc.nat({ max: filePages - 1 }),
    }),
    { maxLength: 16 },
  ),
  maximumLaidRuns: fc.constantFrom(0, 1, 3, 100),
  maximumOverlays: fc.constantFrom(0, 2, 100),
})

/** Runs that fit, behind each other. */
const fitted = (wishes: readonly RunWish[], files: number): readonly LaidRun[] => {
  const runs: LaidRun[] = []
  let at = 0
  for (const wish of wishes) {
    const start = at + wish.gap
    const length = Math.min(wish.length, chainPages - start)
    if (length <= 0) break
    const file = Math.min(wish.file, files - 1)
    const fileOffset = file === zeros ? 0 : Math.min(wish.fileOffset, filePages - length)
    runs.push([start * page, length * page, file, fileOffset * page])
    at = start + length
  }
  return runs
}

export interface MappedChain {
  readonly memory: NativeMemory
  readonly runs: readonly LaidRun[]
  /** What the memory holds. */
  readonly content: Buffer
}

/** Maps a chain of files that `newFile` makes; they are closed. */
export const mapChain = (chain: Chain, newFile: (size: number) => number): MappedChain => {
  const fileWith = (kinds: readonly Content[], value: number) => {
    const fd = newFile(kinds.length * page)
    kinds.forEach((kind, index) => {
      if (kind !== "hole") writeSync(fd, Buffer.alloc(page, kind === "data" ? value + index : 0), 0, page, index * page)
    })
    return fd
  }
  const fd = fileWith(chain.base, 0x20)
  const fds = chain.files.map((kinds, index) => fileWith(kinds, 0x60 + 0x20 * index))
  const runs = fitted(chain.wishes, fds.length)
  const content = Buffer.alloc(chainPages * page)
  readSync(fd, content, 0, content.length, 0)
  for (const [offset, length, file, fileOffset] of runs) {
    if (file === zeros) content.fill(0, offset, offset + length)
    else readSync(fds[file]!, content, offset, length, fileOffset)
  }
  const { maximumLaidRuns, maximumOverlays } = chain
  const laid = { fds, runs: laidRuns(...runs) }
  try {
    const source = { kind: "file", fd, offset: 0, laid, maximumLaidRuns, maximumOverlays } as const
    return { memory: loadNative().mapMemory(content.length, source), runs, content }
  } finally {
    for (const each of [fd, ...fds]) closeSync(each)
  }
}
