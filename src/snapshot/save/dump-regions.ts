/** Work of the addon on guest memory, region after region, with one progress for all of it. */
import * as Effect from "effect/Effect"
import type { KvmError, NativeJob, NativeMemory } from "../../native.ts"
import { runJob } from "../../native-job.ts"
import { type OnProgress, stepProgress } from "../progress.ts"

/**
 * Starts a job for each region when the one before has ended; the machine has to be paused.
 * @param start given the region, and what came of those before it
 */
export const dumpRegions = <R extends { readonly memory: NativeMemory }, A>(
  regions: readonly R[],
  start: (region: R, before: readonly A[]) => NativeJob<A>,
  onProgress?: OnProgress,
): Effect.Effect<readonly A[], KvmError> =>
  Effect.gen(function* () {
    const totalBytes = regions.reduce((total, region) => total + region.memory.size, 0)
    const progress = stepProgress(totalBytes, onProgress)
    const results: A[] = []
    for (const region of regions) {
      results.push(yield* runJob(() => start(region, results), progress.at))
      progress.finish(region.memory.size)
    }
    return results
  })
