/**
 * From Effects to Promises: typed errors reject as they are, an abort rejects with the signal's reason.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

export interface AbortOptions {
  /** Gives the operation up; the promise then rejects with `signal.reason`. */
  readonly signal?: AbortSignal
}

/** Runs an effect to its end. */
export const run = async <A, E>(effect: Effect.Effect<A, E>, options: AbortOptions = {}): Promise<A> => {
  options.signal?.throwIfAborted()
  const exit = await Effect.runPromiseExit(effect, options.signal === undefined ? {} : { signal: options.signal })
  if (Exit.isSuccess(exit)) return exit.value
  if (Cause.hasInterruptsOnly(exit.cause)) options.signal?.throwIfAborted()
  throw Cause.squash(exit.cause)
}
