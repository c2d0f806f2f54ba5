/** What a caller has done to a machine that came back, as long as that machine lasts. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Generation } from "./generation.ts"
import type { Life } from "./life.ts"

/** `afterRestore` failed, or the machine that came back did not last until it was done. That machine was ended. */
export class AfterRestoreFailed extends Data.TaggedError("AfterRestoreFailed")<{
  readonly message: string
  /** The snapshot's directory, as it was given. */
  readonly dir: string
  /** What `afterRestore` failed with, or the machine. */
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_AFTER_RESTORE_FAILED"
}

const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const failed = (dir: string, cause: unknown): AfterRestoreFailed =>
  new AfterRestoreFailed({ message: `afterRestore of ${dir} failed: ${textOf(cause)}`, dir, cause })

/** What became of a machine that cannot go on; `undefined` while it can. With the life's control in hand. */
export const lossOf = (generation: Generation, dir: string): Effect.Effect<AfterRestoreFailed | undefined> =>
  Effect.map(generation.failure, (cause) => {
    const before = `before afterRestore of ${dir} was done`
    if (cause !== undefined) {
      return new AfterRestoreFailed({ message: `the machine failed ${before}: ${cause.message}`, dir, cause })
    }
    if (generation.hasReset) return new AfterRestoreFailed({ message: `the guest reset itself ${before}`, dir })
    if (generation.isOver) return new AfterRestoreFailed({ message: `the machine was stopped ${before}`, dir })
    return undefined
  })

/** Runs `hook` on the machine of this moment; fails at once where that machine is lost. */
export const runAfterRestore = (
  life: Life,
  dir: string,
  hook: () => Effect.Effect<unknown, unknown>,
): Effect.Effect<void, AfterRestoreFailed> =>
  Effect.suspend(() => {
    const { generation } = life
    const lost = generation.lost.pipe(
      Effect.andThen(lossOf(generation, dir).pipe(life.control.withPermit)),
      Effect.flatMap((loss) => (loss === undefined ? Effect.never : Effect.fail(loss))),
    )
    const done = Effect.suspend(hook).pipe(Effect.mapError((cause) => failed(dir, cause)))
    return Effect.asVoid(Effect.raceFirst(done, lost))
  })
