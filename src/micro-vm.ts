/**
 * A microVM as Effects: configured, running, paused, stopped or failed; saved, brought back and rolled back. The Promise
 * API in `index.ts` is the same, word for word.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { GuestAgent } from "./guest/agent.ts"
import { prepareBoot } from "./machine/boot-machine.ts"
import type { MicroVmConfig } from "./machine/config.ts"
import { runAfterRestore } from "./micro-vm/after-restore.ts"
import type { MicroVm, RestoreError, RestoreOptions } from "./micro-vm/api.ts"
import { buildBooted, buildRestored } from "./micro-vm/build.ts"
import { type Foundation, type MachineHandlers, makeGeneration } from "./micro-vm/generation.ts"
import { lastingBalloon } from "./micro-vm/lasting-balloon.ts"
import { type Life, makeLife } from "./micro-vm/life.ts"
import { rollBack } from "./micro-vm/roll-back.ts"
import { LifecycleState } from "./state/lifecycle.ts"

export * from "./micro-vm/api.ts"

/** What its users see of a life; always the machine of the moment. */
const microVmOf = (life: Life): MicroVm => {
  const balloon = lastingBalloon(life)
  const microVm: MicroVm = {
    guest: new GuestAgent(() => life.generation.client),
    console: {
      output: life.follow(({ machine }) => machine.serial.output),
      write: (input) =>
        Effect.suspend(() =>
          life.generation.machine.serial.write(typeof input === "string" ? Buffer.from(input) : input),
        ),
    },
    get balloon() {
      return balloon()
    },
    state: life.lifecycle.current,
    states: life.lifecycle.changes,
    events: life.events,
    get machine() {
      return life.generation.machineState
    },
    residentBytes: Effect.suspend(() => life.generation.residentBytes),
    start: life.start,
    pause: life.pause,
    resume: life.resume,
    snapshot: (options) => life.snapshot(options),
    restoreFrom: (dir, options = {}) => {
      const { resume, afterRestore } = options
      const { trackDirtyPages = life.generation.machine.dirtyLog !== undefined } = options
      return rollBack(life, {
        dir,
        resume,
        afterRestore: afterRestore && (() => afterRestore(microVm)),
        build: (interruptible) => makeGeneration(interruptible, buildRestored(dir, { ...options, trackDirtyPages })),
      })
    },
    stop: life.stop,
    stopped: life.stopped,
  }
  return microVm
}

/** A microVM's life with the machine that is built; `stop` ends it, and the scope around it at the latest. */
const scoped = <E>(
  initial: LifecycleState,
  build: (handlers: MachineHandlers) => Effect.Effect<Foundation, E, Scope.Scope>,
): Effect.Effect<Life, E, Scope.Scope> =>
  Effect.uninterruptibleMask((interruptible) =>
    Effect.gen(function* () {
      const life = yield* makeLife(yield* makeGeneration(interruptible, build), initial)
      yield* Effect.addFinalizer(() => life.stop)
      return life
    }),
  )

/** Makes a machine, loads its kernel, and leaves it ready to start. */
export const create = (config: MicroVmConfig = {}) =>
  Effect.gen(function* () {
    const plan = yield* prepareBoot(config)
    return microVmOf(yield* scoped(LifecycleState.Configured(), buildBooted(plan)))
  })

/**
 * Brings a machine back from a snapshot directory: paused where it was, or running with `resume`. Fails with
 * `SnapshotIncompatible` where it will not run on this host, unless forced, and with `SnapshotDamaged` where it is told
 * to look for damage and there is some.
 */
export const restore = (dir: string, options: RestoreOptions = {}): Effect.Effect<MicroVm, RestoreError, Scope.Scope> =>
  Effect.gen(function* () {
    const { resume, afterRestore } = options
    const life = yield* scoped(LifecycleState.Paused(), buildRestored(dir, options))
    const microVm = microVmOf(life)
    const comeBack = Effect.gen(function* () {
      if (resume === true) yield* life.resume.pipe(Effect.catchTag("WrongState", Effect.die))
      if (afterRestore !== undefined) yield* runAfterRestore(life, dir, () => afterRestore(microVm))
    })
    yield* comeBack.pipe(Effect.onError(() => life.stop))
    return microVm
  })
