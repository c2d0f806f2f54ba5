/**
 * Writes guest memory flat into one file, region after region, zero pages left as holes.
 */
import * as Effect from "effect/Effect"
import type { KvmError, NativeMemory } from "../native.ts"
import { runJob } from "../native-job.ts"

/** How far a dump has come. */
export interface DumpProgress {
  /** Bytes of guest memory dealt with so far. */
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface MemoryFileRegion {
  readonly memory: NativeMemory
  readonly fileOffset: number
}

/**
 * Writes every region to `fd`; the machine has to be paused. The ranges of the file must be holes.
 * @returns bytes written
 */
export const dumpMemory = (
  fd: number,
  regions: readonly MemoryFileRegion[],
  onProgress: (progress: DumpProgress) => void,
): Effect.Effect<number, KvmError> =>
  Effect.gen(function* () {
    const totalBytes = regions.reduce((total, region) => total + region.memory.size, 0)
    let writtenBytes = 0
    let finishedBytes = 0
    onProgress({ doneBytes: 0, totalBytes })
    for (const { memory, fileOffset } of regions) {
      const dumped = yield* runJob(
        () => memory.dump(fd, fileOffset),
        (bytes) => onProgress({ doneBytes: finishedBytes + bytes, totalBytes }),
      )
      writtenBytes += dumped.writtenBytes
      finishedBytes += memory.size
      onProgress({ doneBytes: finishedBytes, totalBytes })
    }
    return writtenBytes
  })
