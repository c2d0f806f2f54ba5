/** Jobs of the native layer that are to fail. */
import { type KvmError, type NativeJob, toKvmError } from "../../src/native.ts"

/** What a job rejects with. */
export const failureOf = async (job: NativeJob<unknown>): Promise<KvmError> => {
  const failure = await job.done.then(
    () => undefined,
    (cause: unknown) => toKvmError(cause),
  )
  if (failure === undefined) throw new Error("the job did not fail")
  return failure
}

/** What a job rejects with that is aborted at once. Where one was quicker, as a busy machine makes it, another is started. */
export const abortedFailureOf = async (start: () => NativeJob<unknown>): Promise<KvmError> => {
  for (let attempt = 0; attempt < 20; attempt++) {
    const job = start()
    job.abort()
    const failure = await failureOf(job).catch(() => undefined)
    if (failure !== undefined) return failure
  }
  throw new Error("no job could be aborted")
}
