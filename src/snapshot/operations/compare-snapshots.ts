/** What differs between two snapshots: their machine states by components and fields, their memory by pages. */
import { resolve } from "node:path"
import * as Effect from "effect/Effect"
import type { GuestRange } from "../../memory/guest-memory.ts"
import { mapMemories } from "../../memory/map-memory.ts"
import { loadNative, type NativeRuns } from "../../native.ts"
import type { StateInvalid } from "../../state/component.ts"
import type { Manifest } from "../../state/manifest.ts"
import { readStateFile } from "../bundle/bundle.ts"
import { type Chain, type ChainOptions, openChainOf } from "../chain/chain.ts"
import type { OnProgress } from "../progress.ts"
import { guestRanges } from "../runs/guest-ranges.ts"
import { PAGE_BYTES, RUN_NUMBERS } from "../runs/runs.ts"
import { dumpRegions } from "../save/dump-regions.ts"
import { compareSections, type SectionDifference } from "./compare-sections.ts"
import { pagesApart } from "./pages-apart.ts"

export interface CompareOptions extends ChainOptions {
  /** Most fields that are told of each component; 100 without it. */
  readonly maximumFields?: number
  /** Called about twenty times a second while memory is compared. */
  readonly onProgress?: OnProgress
}

/** One of two snapshots that were compared. */
export interface ComparedSnapshot {
  /** Absolute path. */
  readonly dir: string
  readonly id: string
  /** Size of the guest's memory, in bytes. */
  readonly memoryBytes: number
}

/** Guest memory that is not the same. */
export interface MemoryDifference {
  /** Guest-physical addresses in whole pages, ascending and apart. */
  readonly ranges: readonly GuestRange[]
  readonly pages: number
  /** Bytes in `ranges`. */
  readonly bytes: number
}

export interface SnapshotComparison {
  readonly a: ComparedSnapshot
  readonly b: ComparedSnapshot
  /** Nothing differs that a restored machine could tell. */
  readonly identical: boolean
  /** The components that differ; empty where none does. */
  readonly sections: readonly SectionDifference[]
  /** `undefined` where the two have memory of different sizes or places, which is not compared. */
  readonly memory: MemoryDifference | undefined
}

const MAXIMUM_FIELDS = 100

type Regions = Manifest["memory"]["regions"]

const isSameLayout = (a: Regions, b: Regions): boolean => {
  const describe = (regions: Regions) => regions.map(({ guestAddress, size }) => `${guestAddress}+${size}`).join()
  return describe(a) === describe(b)
}

function* flatRanges(runs: readonly NativeRuns[], regions: Regions) {
  for (const [index, region] of regions.entries()) {
    const ofRegion = runs[index]!
    for (let at = 0; at < ofRegion.length; at += RUN_NUMBERS) {
      yield { offset: region.fileOffset + (ofRegion[at] as number), length: ofRegion[at + 1] as number }
    }
  }
}

/** @param regions of both */
const compareMemory = (a: Chain, b: Chain, regions: Regions, onProgress: OnProgress | undefined) =>
  Effect.gen(function* () {
    const native = loadNative()
    const memories = yield* mapMemories(native, a.memories)
    const baselines = yield* mapMemories(native, b.memories)
    const candidates = pagesApart(a.links, b.links, regions)
    const pairs = memories.map((memory, index) => ({
      memory,
      options: { ...candidates[index]!, baseline: baselines[index]! },
    }))
    const found = yield* dumpRegions(pairs, ({ memory, options }) => memory.dumpDiff(null, 0, options), onProgress)
    const runs = found.map((part) => part.runs)
    const ranges = guestRanges(regions, flatRanges(runs, regions))
    const bytes = ranges.reduce((total, { size }) => total + size, 0)
    return { ranges, pages: bytes / PAGE_BYTES, bytes } satisfies MemoryDifference
  })

/** Compares two snapshots of any kind; neither their ids nor when and where they were written count. */
export const compareSnapshots = (dirA: string, dirB: string, options: CompareOptions = {}) =>
  Effect.gen(function* () {
    const a = yield* readStateFile(dirA)
    const b = yield* readStateFile(dirB)
    const sections = yield* Effect.try({
      try: () => compareSections(a.sections, b.sections, options.maximumFields ?? MAXIMUM_FIELDS),
      catch: (error) => error as StateInvalid,
    })
    const chainA = yield* openChainOf({ dir: dirA, ...a }, options)
    const chainB = yield* openChainOf({ dir: dirB, ...b }, options)
    const { regions } = a.manifest.memory
    const memory = isSameLayout(regions, b.manifest.memory.regions)
      ? yield* compareMemory(chainA, chainB, regions, options.onProgress)
      : undefined
    const told = (dir: string, { id, machine }: Manifest): ComparedSnapshot => ({
      dir: resolve(dir),
      id,
      memoryBytes: machine.memoryBytes,
    })
    return {
      a: told(dirA, a.manifest),
      b: told(dirB, b.manifest),
      identical: sections.length === 0 && memory?.pages === 0,
      sections,
      memory,
    } satisfies SnapshotComparison
  }).pipe(Effect.scoped)
