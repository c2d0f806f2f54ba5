/** Writes the pages of guest memory that changed into one file, packed, region after region. */
import * as Effect from "effect/Effect"
import type { KvmError, NativeDiffResult, NativeMemory, NativeRuns } from "../../native.ts"
import type { DumpProgress } from "../progress.ts"
import { DIGEST_CHUNK_BYTES } from "../runs/memory-diff.ts"
import { RUN_NUMBERS } from "../runs/runs.ts"
import { dumpRegions } from "./dump-regions.ts"
import type { Candidates } from "./memory-history.ts"

export interface DiffRegion {
  readonly memory: NativeMemory
  /** Where the region is in flat memory. */
  readonly flatOffset: number
  readonly candidates: Candidates
  readonly baseline: NativeMemory | undefined
}

export interface DumpedDiff {
  /** In flat memory: of file 0, which is the one written to, and of zeros. */
  readonly runs: NativeRuns
  /** Bytes of packed pages. */
  readonly writtenBytes: number
  /** Bytes in runs of zeros. */
  readonly zeroBytes: number
  /** Where the table of the runs belongs: the multiple of {@link DIGEST_CHUNK_BYTES} at or after the last packed page. */
  readonly tableOffset: number
  /** Of the file up to there, in chunks of {@link DIGEST_CHUNK_BYTES}. */
  readonly digests: Uint8Array
}

const roundUp = (bytes: number): number => Math.ceil(bytes / DIGEST_CHUNK_BYTES) * DIGEST_CHUNK_BYTES

/** Where the packed pages of the next region begin. */
const endOf = (parts: readonly NativeDiffResult[]): number =>
  parts.reduce((total, part) => total + roundUp(part.writtenBytes), 0)

/** The runs of all regions, from their own offsets to those in flat memory. */
const flatRuns = (parts: readonly NativeDiffResult[], regions: readonly DiffRegion[]): NativeRuns => {
  const runs = new Float64Array(parts.reduce((total, part) => total + part.runs.length, 0))
  let to = 0
  parts.forEach((part, index) => {
    const { flatOffset } = regions[index]!
    runs.set(part.runs, to)
    for (const end = to + part.runs.length; to < end; to += RUN_NUMBERS) runs[to]! += flatOffset
  })
  return runs
}

/** Writes what changed in every region to `fd`, which is empty; the machine has to be paused. */
export const dumpDiff = (
  fd: number,
  regions: readonly DiffRegion[],
  onProgress: (progress: DumpProgress) => void,
): Effect.Effect<DumpedDiff, KvmError> =>
  dumpRegions<DiffRegion, NativeDiffResult>(
    regions,
    ({ memory, candidates, baseline }, before) =>
      memory.dumpDiff(fd, endOf(before), {
        ...candidates,
        chunkBytes: DIGEST_CHUNK_BYTES,
        ...(baseline === undefined ? {} : { baseline }),
      }),
    onProgress,
  ).pipe(
    Effect.map((parts) => ({
      runs: flatRuns(parts, regions),
      writtenBytes: parts.reduce((total, part) => total + part.writtenBytes, 0),
      zeroBytes: parts.reduce((total, part) => total + part.zeroBytes, 0),
      tableOffset: endOf(parts),
      digests: new Uint8Array(Buffer.concat(parts.map((part) => part.digests))),
    })),
  )
