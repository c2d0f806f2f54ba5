/**
 * Writes guest memory flat into one file, region after region, zero pages left as holes.
 */
import * as Effect from "effect/Effect"
import type { KvmError, NativeMemory } from "../../native.ts"
import type { DumpProgress } from "../progress.ts"
import { DIGEST_CHUNK_BYTES } from "../runs/memory-diff.ts"
import { dumpRegions } from "./dump-regions.ts"

export interface MemoryFileRegion {
  readonly memory: NativeMemory
  /** A multiple of {@link DIGEST_CHUNK_BYTES}, as the region's size is. */
  readonly fileOffset: number
}

export interface DumpedMemory {
  readonly writtenBytes: number
  /** Of the file, in chunks of {@link DIGEST_CHUNK_BYTES}. */
  readonly digests: Uint8Array
}

/** Writes every region to `fd`; the machine has to be paused. The ranges of the file must be holes. */
export const dumpMemory = (
  fd: number,
  regions: readonly MemoryFileRegion[],
  onProgress: (progress: DumpProgress) => void,
): Effect.Effect<DumpedMemory, KvmError> =>
  dumpRegions(regions, ({ memory, fileOffset }) => memory.dump(fd, fileOffset, DIGEST_CHUNK_BYTES), onProgress).pipe(
    Effect.map((dumps) => ({
      writtenBytes: dumps.reduce((total, dump) => total + dump.writtenBytes, 0),
      digests: new Uint8Array(Buffer.concat(dumps.map((dump) => dump.digests))),
    })),
  )
