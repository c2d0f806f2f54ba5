/** Work of the addon on guest memory, region after region, with one progress for all of it. */
import * as Effect from "effect/Effect"
import type { KvmError, NativeJob, NativeMemory } from "../../native.ts"
import { runJob } from "../../native-job.ts"

/** How far a dump has come. */
export interface DumpProgress {
  /** Bytes of guest memory dealt with so far. */
  readonly doneBytes: number
  readonly totalBytes: number
}

/**
 * Starts a job for each region when the one before has ended; the machine has to be paused.
 * @param start given the region, and what came of those before it
 */
export const dumpRegions = <R extends { readonly memory: NativeMemory }, A>(
  regions: readonly R[],
  start: (region: R, before: readonly A[]) => NativeJob<A>,
  onProgress: (progress: DumpProgress) => void,
): Effect.Effect<readonly A[], KvmError> =>
  Effect.gen(function* () {
    const totalBytes = regions.reduce((total, region) => total + region.memory.size, 0)
    const results: A[] = []
    let finishedBytes = 0
    onProgress({ doneBytes: 0, totalBytes })
    for (const region of regions) {
      const result = yield* runJob(
        () => start(region, results),
        (bytes) => onProgress({ doneBytes: finishedBytes + bytes, totalBytes }),
      )
      results.push(result)
      finishedBytes += region.memory.size
      onProgress({ doneBytes: finishedBytes, totalBytes })
    }
    return results
  })
