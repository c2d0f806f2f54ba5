/** Work on a thread of the addon as an Effect: its progress told as it goes, aborted when it is interrupted. */
import * as Effect from "effect/Effect"
import { type KvmError, type NativeJob, toKvmError } from "./native.ts"

const PROGRESS_INTERVAL_MS = 50

/**
 * Starts a job and waits for its end; an interruption ends only when the job has let go of what it works on.
 * @param onScanned told about twenty times a second of the bytes dealt with so far
 */
export const runJob = <A>(start: () => NativeJob<A>, onScanned: (bytes: number) => void): Effect.Effect<A, KvmError> =>
  Effect.callback<A, KvmError>((resume) => {
    let job: NativeJob<A>
    try {
      job = start()
    } catch (error) {
      resume(Effect.fail(toKvmError(error)))
      return
    }
    const timer = setInterval(() => onScanned(job.scannedBytes), PROGRESS_INTERVAL_MS)
    const settled = job.done.then(
      (result) => Effect.succeed(result),
      (error: unknown) => Effect.fail(toKvmError(error)),
    )
    settled.then((result) => {
      clearInterval(timer)
      resume(result)
    })
    return Effect.promise(() => {
      clearInterval(timer)
      job.abort()
      return settled
    })
  })
