/**
 * The life of a microVM: its lifecycle, its events, and the machine that is in its place at the moment.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { VcpuFailed } from "../machine/errors.ts"
import type { KvmError } from "../native.ts"
import type { SnapshotInfo, SnapshotOptions } from "../snapshot/save/snapshot-options.ts"
import { type SnapshotSource, type SnapshotWriteError, writeSnapshot } from "../snapshot/save/write.ts"
import {
  type Lifecycle,
  LifecycleEvent,
  type LifecycleState,
  makeLifecycle,
  step,
  type WrongState,
  wrongState,
} from "../state/lifecycle.ts"
import { type MicroVmEvent, stateName } from "./api.ts"
import type { Generation } from "./generation.ts"

const EVENTS_KEPT = 256

/** Why a machine cannot be paused. */
export type PauseError = WrongState | KvmError | VcpuFailed

/** A fiber that nobody joins must not die in silence. */
const inBackground = (name: string, effect: Effect.Effect<void, unknown>): void => {
  Effect.runFork(effect.pipe(Effect.tapCause((cause) => Effect.logError(`${name} died`, cause))))
}

export class Life {
  readonly lifecycle: Lifecycle
  /** Pausing, resuming, stopping, exchanging, and what a snapshot needs the machine paused for: one after another. */
  readonly control = Semaphore.makeUnsafe(1)
  /** Snapshots are written one after another. */
  readonly #saving = Semaphore.makeUnsafe(1)
  readonly #events: PubSub.PubSub<MicroVmEvent>
  #generation: Generation
  /** The machine that another one stands in for, until it is known whether that one stays. */
  #aside: Generation | undefined

  constructor(lifecycle: Lifecycle, events: PubSub.PubSub<MicroVmEvent>, generation: Generation) {
    this.lifecycle = lifecycle
    this.#events = events
    this.#generation = generation
    this.#listen(generation)
  }

  /** The machine of this moment. */
  get generation(): Generation {
    return this.#generation
  }

  /** Whether the machine of this moment stands in for another. */
  get isTrial(): boolean {
    return this.#aside !== undefined
  }

  get events(): Stream.Stream<MicroVmEvent> {
    return Stream.fromPubSub(this.#events)
  }

  publish(event: MicroVmEvent): void {
    PubSub.publishUnsafe(this.#events, event)
  }

  move(event: LifecycleEvent): Effect.Effect<void, WrongState> {
    return Effect.suspend(() => {
      const before = this.lifecycle.get()
      return Effect.map(this.lifecycle.dispatch(event), (after) => {
        if (after !== before) this.publish({ type: "state", state: stateName(after) })
      })
    })
  }

  /** Fails where `event` would not be taken, before anything is done for it. */
  check(event: LifecycleEvent): Effect.Effect<void, WrongState> {
    return Effect.suspend(() => {
      const state = this.lifecycle.get()
      return Option.isSome(step(state, event)) ? Effect.void : Effect.fail(wrongState(state._tag, event._tag))
    })
  }

  get start(): Effect.Effect<void, WrongState | KvmError> {
    return this.#controlled(LifecycleEvent.Start(), ({ machine }) => machine.resume)
  }

  get pause(): Effect.Effect<void, PauseError> {
    return this.#controlled(LifecycleEvent.Pause(), (generation) => generation.park)
  }

  get resume(): Effect.Effect<void, WrongState | KvmError> {
    return this.#controlled(LifecycleEvent.Resume(), (generation) => generation.run)
  }

  /** Ends the machine, and the one that it stands in for. */
  get stop(): Effect.Effect<void> {
    return this.#ending.pipe(this.control.withPermit, Effect.uninterruptible)
  }

  /** Waits until the machine has stopped, whichever is in the place by then. */
  get stopped(): Effect.Effect<void, VcpuFailed> {
    return Effect.suspend(() => Deferred.await(this.#generation.ended)).pipe(
      Effect.flatMap((end) => (end === "exchanged" ? this.stopped : Effect.void)),
    )
  }

  snapshot(options: SnapshotOptions): Effect.Effect<SnapshotInfo, SnapshotWriteError | PauseError> {
    const source: SnapshotSource<PauseError> = {
      present: () => this.#generation,
      whilePaused: (work) => this.#whilePaused(work),
    }
    return this.#checkSnapshot.pipe(
      Effect.andThen(writeSnapshot(source, options)),
      Effect.tap((info) => Effect.sync(() => this.publish({ type: "snapshot", info }))),
      this.#saving.withPermit,
    )
  }

  /** A stream of one machine after another: where a machine is exchanged, it goes on with that of the next. */
  follow<A, E>(stream: (generation: Generation) => Stream.Stream<A, E>): Stream.Stream<A, E> {
    const generations = Stream.unfold<Generation | undefined, Generation, never, never>(undefined, (previous) =>
      Effect.sync(() => {
        const present = this.#generation
        return present === previous ? undefined : ([present, present] as const)
      }),
    )
    return Stream.flatMap(generations, stream)
  }

  /** Sets the machine aside for another one. With the control in hand, as the two that may follow. */
  standIn(next: Generation): void {
    this.#aside = this.#generation
    this.#generation = next
    this.#listen(next)
  }

  /** The other one stays. Gives the machine that was set aside, which is the caller's to end. */
  keep(): Generation | undefined {
    const old = this.#aside
    this.#aside = undefined
    return old
  }

  /** The machine that was set aside comes back. Gives the other one, which is the caller's to end. */
  bringBack(): Generation {
    const other = this.#generation
    const old = this.keep()
    if (old !== undefined) this.#generation = old
    return other
  }

  /** Does what had to wait until it was known which machine stays. */
  heed(generation: Generation): void {
    if (generation.hasFailed) inBackground("vCPU failure", this.#fail(generation))
    if (generation.hasReset) inBackground("guest reset", this.#stopAfterReset(generation))
  }

  #listen(generation: Generation): void {
    generation.listen(
      () => inBackground("vCPU failure", this.#fail(generation)),
      () => {
        if (!this.isTrial) this.publish({ type: "guestReset" })
        // Later: this is still inside the guest's own access.
        setImmediate(() => inBackground("guest reset", this.#stopAfterReset(generation)))
      },
    )
  }

  #controlled<E>(
    event: LifecycleEvent,
    work: (generation: Generation) => Effect.Effect<void, E>,
  ): Effect.Effect<void, E | WrongState> {
    return this.check(event).pipe(
      Effect.andThen(Effect.suspend(() => work(this.#generation))),
      Effect.andThen(this.move(event)),
      this.control.withPermit,
      Effect.uninterruptible,
    )
  }

  /** A snapshot is taken of a machine that runs or is paused. */
  get #checkSnapshot(): Effect.Effect<void, WrongState> {
    return Effect.suspend(() =>
      this.lifecycle.get()._tag === "Running" ? Effect.void : this.check(LifecycleEvent.Resume()),
    )
  }

  #whilePaused: SnapshotSource<PauseError>["whilePaused"] = (work) =>
    Effect.gen({ self: this }, function* () {
      yield* this.#checkSnapshot
      const generation = this.#generation
      const captured = Effect.suspend(() =>
        generation.paused === undefined
          ? Effect.die("a machine that is not paused cannot be saved")
          : work(generation.paused),
      )
      if (this.lifecycle.get()._tag === "Paused") return { value: yield* captured, pausedMilliseconds: 0 }
      const began = performance.now()
      const value = yield* Effect.acquireUseRelease(
        generation.park.pipe(Effect.andThen(this.move(LifecycleEvent.Pause()))),
        () => captured,
        () => generation.run.pipe(Effect.andThen(this.move(LifecycleEvent.Resume())), Effect.orDie),
      )
      return { value, pausedMilliseconds: performance.now() - began }
    }).pipe(this.control.withPermit)

  get #ending(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      if (this.lifecycle.get()._tag === "Stopped") return
      yield* this.move(LifecycleEvent.Stop()).pipe(Effect.orDie)
      const generation = this.#generation
      const why = generation.hasReset ? "the guest reset itself, which ended the machine" : "the machine has stopped"
      yield* this.#aside?.end("stopped", why) ?? Effect.void
      yield* generation.end("stopped", why)
      yield* PubSub.shutdown(this.#events)
    })
  }

  #stopAfterReset(generation: Generation): Effect.Effect<void> {
    return Effect.suspend(() => (this.#concerns(generation) ? this.#ending : Effect.void)).pipe(
      this.control.withPermit,
      Effect.uninterruptible,
    )
  }

  #fail(generation: Generation): Effect.Effect<void, WrongState> {
    return Effect.gen({ self: this }, function* () {
      const { _tag: state } = this.lifecycle.get()
      if (!this.#concerns(generation) || state === "Stopped" || state === "Failed") return
      const error = yield* generation.failure
      if (error !== undefined) yield* this.failWith(error)
    }).pipe(this.control.withPermit)
  }

  /** The machine of this moment has failed. With the control in hand. */
  failWith(error: VcpuFailed): Effect.Effect<void, WrongState> {
    return Effect.map(this.move(LifecycleEvent.Fail({ error })), () => {
      this.publish({ type: "vcpuFailed", error })
      this.#generation.fail(error)
    })
  }

  /**
   * Whether what happens to a machine is what happens to this microVM. Of one that stands in for another, or is set
   * aside for one, that is decided later.
   */
  #concerns(generation: Generation): boolean {
    return generation === this.#generation && !this.isTrial
  }
}

export const makeLife = (generation: Generation, initial: LifecycleState): Effect.Effect<Life> =>
  Effect.gen(function* () {
    const events = yield* PubSub.sliding<MicroVmEvent>(EVENTS_KEPT)
    return new Life(yield* makeLifecycle(initial), events, generation)
  })
