/**
 * Writes guest memory flat into one file, region after region, zero pages left as holes.
 */
import * as Effect from "effect/Effect"
import { type KvmError, type NativeDump, type NativeMemory, toKvmError } from "../native.ts"

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

const PROGRESS_INTERVAL_MS = 50

const dumpRegion = (
  fd: number,
  region: MemoryFileRegion,
  onScanned: (bytes: number) => void,
): Effect.Effect<number, KvmError> =>
  Effect.callback<number, KvmError>((resume) => {
    let dump: NativeDump
    try {
      dump = region.memory.dump(fd, region.fileOffset)
    } catch (error) {
      resume(Effect.fail(toKvmError(error)))
      return
    }
    const timer = setInterval(() => onScanned(dump.scannedBytes), PROGRESS_INTERVAL_MS)
    const settled = dump.done.then(
      (result) => Effect.succeed(result.writtenBytes),
      (error: unknown) => Effect.fail(toKvmError(error)),
    )
    settled.then((result) => {
      clearInterval(timer)
      resume(result)
    })
    // The file may only be closed once the dump has let go of it.
    return Effect.promise(() => {
      clearInterval(timer)
      dump.abort()
      return settled
    })
  })

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
    for (const region of regions) {
      writtenBytes += yield* dumpRegion(fd, region, (bytes) =>
        onProgress({ doneBytes: finishedBytes + bytes, totalBytes }),
      )
      finishedBytes += region.memory.size
      onProgress({ doneBytes: finishedBytes, totalBytes })
    }
    return writtenBytes
  })
