/**
 * Rolling a microVM back: a machine is built from the snapshot beside the one there is, which stands still meanwhile,
 * and takes its place once it is whole. Until then everything can go on as it was.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { KvmError } from "../native.ts"
import { LifecycleEvent, LifecycleState, type WrongState } from "../state/lifecycle.ts"
import { type AfterRestoreFailed, lossOf, runAfterRestore } from "./after-restore.ts"
import type { Generation, Interruptible } from "./generation.ts"
import type { Life } from "./life.ts"

/** The machine is being rolled back already, and its `afterRestore` is not yet done. */
export class RollbackUnderWay extends Data.TaggedError("RollbackUnderWay")<{ readonly message: string }> {
  readonly code = "CRYOVM_ROLLBACK_UNDER_WAY"
}

export interface RollbackPlan<E> {
  /** The snapshot's directory. */
  readonly dir: string
  /** Whether the machine that came back runs; `undefined`: where the one before it did. */
  readonly resume: boolean | undefined
  readonly afterRestore: (() => Effect.Effect<unknown, unknown>) | undefined
  readonly build: (interruptible: Interruptible) => Effect.Effect<Generation, E>
}

/** Pauses a machine that runs. Gives what lets it run again; one that turns out to have failed stays so. */
const standStill = (life: Life): Effect.Effect<Effect.Effect<void>, KvmError> =>
  Effect.gen(function* () {
    if (life.lifecycle.get()._tag !== "Running") return Effect.void
    const { generation } = life
    const isPaused = yield* generation.park.pipe(
      Effect.as(true),
      Effect.catchTag("VcpuFailed", (error) => Effect.as(life.failWith(error).pipe(Effect.orDie), false)),
    )
    if (!isPaused) return Effect.void
    yield* life.move(LifecycleEvent.Pause()).pipe(Effect.orDie)
    return Effect.suspend(() => generation.run).pipe(Effect.andThen(life.move(LifecycleEvent.Resume())), Effect.orDie)
  })

/** A machine stands in for another, and can stay or go. All with the life's control in hand. */
class Trial {
  readonly #life: Life
  readonly #dir: string
  readonly #before: LifecycleState
  readonly #goOn: Effect.Effect<void>

  /** @param goOn lets the machine that is set aside run again, where it did */
  constructor(life: Life, dir: string, before: LifecycleState, goOn: Effect.Effect<void>) {
    this.#life = life
    this.#dir = dir
    this.#before = before
    this.#goOn = goOn
  }

  get commit(): Effect.Effect<void> {
    const life = this.#life
    return Effect.gen({ self: this }, function* () {
      yield* life.keep()?.end("exchanged", `the machine was rolled back to ${this.#dir}`) ?? Effect.void
      life.publish({ type: "restored", dir: this.#dir })
    })
  }

  get undo(): Effect.Effect<void> {
    const life = this.#life
    return Effect.gen({ self: this }, function* () {
      const other = life.bringBack()
      yield* life.move(LifecycleEvent.Exchanged({ state: this.#before })).pipe(Effect.orDie)
      yield* this.#goOn
      yield* other.end("exchanged", `the machine restored from ${this.#dir} was ended: it could not stay`)
      life.heed(life.generation)
    })
  }

  /** Whether the machine stays, once `afterRestore` has ended. */
  decide(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void, AfterRestoreFailed> {
    const life = this.#life
    return Effect.gen({ self: this }, function* () {
      const loss = yield* lossOf(life.generation, this.#dir)
      // A microVM that was stopped has given back both machines.
      if (life.lifecycle.get()._tag !== "Stopped") {
        if (Exit.isSuccess(exit) && loss === undefined) return yield* this.commit
        yield* this.undo
      }
      if (Exit.isSuccess(exit) && loss !== undefined) return yield* loss
    })
  }
}

/** On failure or interruption the machine is what and where it was before, and runs if it ran. */
export const rollBack = <E>(
  life: Life,
  { dir, resume, afterRestore, build }: RollbackPlan<E>,
): Effect.Effect<void, E | WrongState | KvmError | RollbackUnderWay | AfterRestoreFailed> =>
  Effect.uninterruptibleMask((interruptible) => {
    let open: Trial | undefined

    const exchange = Effect.gen(function* () {
      yield* life.check(LifecycleEvent.Exchanged({ state: LifecycleState.Paused() }))
      if (life.isTrial) {
        const message = "another restoreFrom of this machine is not done yet: its afterRestore has to end first"
        return yield* new RollbackUnderWay({ message })
      }
      const ran = life.lifecycle.get()._tag === "Running"
      const goOn = yield* standStill(life)
      const trial = new Trial(life, dir, life.lifecycle.get(), goOn)
      const next = yield* build(interruptible).pipe(Effect.onError(() => goOn))
      life.standIn(next)
      yield* life.move(LifecycleEvent.Exchanged({ state: LifecycleState.Paused() })).pipe(Effect.orDie)
      if (resume ?? ran) {
        yield* next.run.pipe(Effect.onError(() => trial.undo))
        yield* life.move(LifecycleEvent.Resume()).pipe(Effect.orDie)
      }
      if (afterRestore === undefined) yield* trial.commit
      else open = trial
    })

    const tried = Effect.suspend(() =>
      open === undefined || afterRestore === undefined ? Effect.void : runAfterRestore(life, dir, afterRestore),
    )
    return interruptible(exchange.pipe(Effect.uninterruptible, life.control.withPermit)).pipe(
      Effect.andThen(interruptible(tried)),
      Effect.onExit((exit) => (open === undefined ? Effect.void : open.decide(exit).pipe(life.control.withPermit))),
    )
  })
