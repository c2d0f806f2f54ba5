/** Checks a memory file against the digests of its chunks, and finds out what a damaged chunk holds. */
import * as Effect from "effect/Effect"
import { type KvmError, loadNative, type NativeRuns } from "../../native.ts"
import { runJob } from "../../native-job.ts"
import type { Manifest } from "../../state/manifest.ts"
import { CHUNK_DIGEST_BYTES, type MemoryDigests } from "../../state/memory-digests.ts"
import { SnapshotReadFailed } from "../bundle/errors.ts"
import type { SnapshotProblem } from "../problem.ts"
import { type FlatRange, guestRanges } from "../runs/guest-ranges.ts"
import { PAGE_BYTES, RUN_NUMBERS, ZEROS } from "../runs/runs.ts"

/** A memory file that is open, and what is known of it. */
export interface MemoryToVerify {
  readonly path: string
  readonly fd: number
  readonly manifest: Manifest
  readonly memoryDigests: MemoryDigests
  /** The runs of a difference's table; `undefined` for a full snapshot, and where the table cannot be read. */
  readonly runs: NativeRuns | undefined
}

/** Chunks whose digests differ; neighbours are one range. */
const damagedRanges = (
  { chunkBytes, digests }: MemoryDigests,
  found: Uint8Array,
  fileBytes: number,
): readonly FlatRange[] => {
  const ranges: { offset: number; length: number }[] = []
  for (let at = 0; at < digests.length; at += CHUNK_DIGEST_BYTES) {
    const end = at + CHUNK_DIGEST_BYTES
    if (Buffer.compare(digests.subarray(at, end), found.subarray(at, end)) === 0) continue
    const offset = (at / CHUNK_DIGEST_BYTES) * chunkBytes
    const length = Math.min(chunkBytes, fileBytes - offset)
    const last = ranges.at(-1)
    if (last !== undefined && last.offset + last.length === offset) last.length += length
    else ranges.push({ offset, length })
  }
  return ranges
}

/** The parts of flat memory that a range of a difference's file holds: its runs lie there in the order of the table. */
function* flatRangesOf(runs: NativeRuns, range: FlatRange): Generator<FlatRange> {
  for (let at = 0; at < runs.length; at += RUN_NUMBERS) {
    if (runs[at + 2] === ZEROS) continue
    const fileOffset = runs[at + 3] as number
    const start = Math.max(range.offset, fileOffset)
    const end = Math.min(range.offset + range.length, fileOffset + (runs[at + 1] as number))
    if (end > start) yield { offset: (runs[at] as number) + (start - fileOffset), length: end - start }
  }
}

const describe = ({ manifest, runs }: MemoryToVerify, range: FlatRange): SnapshotProblem => {
  const { file, regions, diff } = manifest.memory
  const flat = diff === null ? [range] : runs === undefined ? [] : flatRangesOf(runs, range)
  const ranges = guestRanges(regions, flat)
  const holdsTable = diff !== null && range.offset + range.length > diff.tableOffset
  const [first] = ranges
  const more = ranges.length > 1 ? ` and ${ranges.length - 1} more` : ""
  const held = [
    ...(first === undefined
      ? []
      : [`guest memory at 0x${first.guestAddress.toString(16)} (${first.size} bytes)${more}`]),
    ...(holdsTable ? ["the table of what changed"] : []),
  ]
  const what = held.length === 0 ? "" : `, which hold ${held.join(", and ")},`
  return {
    part: "memory",
    code: "CRYOVM_SNAPSHOT_DAMAGED",
    message: `${file.name}: the ${range.length} bytes at ${range.offset}${what} are not what was written`,
    fileRange: range,
    guestRanges: ranges,
  }
}

/**
 * Reads the file on a thread of the addon, but for its holes.
 * @param onScanned told of the bytes dealt with so far
 */
export const verifyMemory = (
  memory: MemoryToVerify,
  onScanned: (bytes: number) => void,
): Effect.Effect<readonly SnapshotProblem[], KvmError | SnapshotReadFailed> => {
  const { path, fd, manifest, memoryDigests } = memory
  const { size } = manifest.memory.file
  // What is behind the end of the file counts as zeros.
  const length = Math.ceil(size / PAGE_BYTES) * PAGE_BYTES
  return runJob(() => loadNative().digestFile(fd, 0, length, memoryDigests.chunkBytes), onScanned).pipe(
    Effect.map((found) => damagedRanges(memoryDigests, found, size).map((range) => describe(memory, range))),
    Effect.mapError((cause) => (cause.errno === 0 ? cause : readFailed(path, cause))),
  )
}

const readFailed = (path: string, cause: KvmError): SnapshotReadFailed =>
  new SnapshotReadFailed({
    message: `cannot read ${path}: ${cause.message}`,
    path,
    errnoName: cause.errnoName,
    cause,
  })
