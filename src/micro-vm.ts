/**
 * A microVM as Effects: configured, running, paused, stopped or failed; saved and brought back. The Promise API in
 * `index.ts` is the same, word for word.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { GuestAgent } from "./guest/agent.ts"
import type { AgentChannel } from "./guest/client.ts"
import { GuestUnavailable } from "./guest/errors.ts"
import { bootMachine, prepareBoot } from "./machine/boot-machine.ts"
import type { MachineState, MicroVmConfig } from "./machine/config.ts"
import type { VcpuFailed } from "./machine/errors.ts"
import { requireHost } from "./machine/host.ts"
import type { HostProfile } from "./machine/host-profile.ts"
import type { ClockData } from "./machine/kvm/clock.ts"
import {
  applyPausedTime,
  type ClockRealtimeMissing,
  capturePausedTime,
  clockToSet,
  type PausedTime,
} from "./machine/kvm/paused-time.ts"
import { memoryRegions } from "./machine/layout.ts"
import { type Machine, makeMachine } from "./machine/machine.ts"
import { describeVcpuFailure } from "./machine/vcpu-failure.ts"
import { mapMemories } from "./memory/map-memory.ts"
import { type MicroVm, type MicroVmEvent, type RestoreClock, type RestoreOptions, stateName } from "./micro-vm-api.ts"
import { type KvmError, loadNative, type NativeHostProbe, type NativeVcpuStop, toKvmError } from "./native.ts"
import { requireCompatible } from "./snapshot/compatibility/for-restore.ts"
import { hostOf } from "./snapshot/compatibility/this-host.ts"
import { openSnapshot } from "./snapshot/open.ts"
import { restoreMachine } from "./snapshot/restore-machine.ts"
import { type SnapshotOptions, type SnapshotSource, writeSnapshot } from "./snapshot/write.ts"
import {
  type Lifecycle,
  LifecycleEvent,
  LifecycleState,
  makeLifecycle,
  step,
  type WrongState,
  wrongState,
} from "./state/lifecycle.ts"

export * from "./micro-vm-api.ts"

const EVENTS_KEPT = 256

/** Why a machine cannot be paused for a snapshot. */
type PauseError = WrongState | KvmError | VcpuFailed

interface Foundation {
  readonly probe: NativeHostProbe
  readonly host: HostProfile
  readonly machineState: MachineState
  /** Set for a restored machine: its clocks stand until it first runs. */
  readonly restoredTime: PausedTime | undefined
  readonly clock?: RestoreClock
  readonly initial: LifecycleState
}

/** Callbacks of a machine that arrive before the microVM around it is there to take them. */
class Callbacks {
  onVcpuFailure: (stop: NativeVcpuStop) => void = () => {}
  onReset: () => void = () => {}

  /** What the machine is given: each calls whatever is here by then. */
  readonly handlers = {
    onVcpuFailure: (stop: NativeVcpuStop): void => this.onVcpuFailure(stop),
    onReset: (): void => this.onReset(),
  }
}

const channelOf = (machine: Machine): AgentChannel => {
  const agentConsole = machine.agentConsole
  if (agentConsole === undefined) return { send: () => Effect.never, onData: () => () => {} }
  return {
    send: (bytes) =>
      agentConsole.send(bytes).pipe(
        Effect.catchTag("DeviceClosed", (cause) =>
          Effect.fail(new GuestUnavailable({ message: "the machine has stopped", cause })),
        ),
        // The client sends no frame that is longer than the device takes.
        Effect.catchTag("InputTooLarge", Effect.die),
      ),
    onData: (listener) => agentConsole.onData(listener),
  }
}

/** A fiber that nobody joins must not die in silence. */
const inBackground = (name: string, effect: Effect.Effect<void, unknown>): void => {
  Effect.runFork(effect.pipe(Effect.tapCause((cause) => Effect.logError(`${name} died`, cause))))
}

const assemble = (
  machine: Machine,
  callbacks: Callbacks,
  release: Effect.Effect<void>,
  foundation: Foundation,
): Effect.Effect<MicroVm> =>
  Effect.gen(function* () {
    const lifecycle: Lifecycle = yield* makeLifecycle(foundation.initial)
    const events = yield* PubSub.sliding<MicroVmEvent>(EVENTS_KEPT)
    const stopped = yield* Deferred.make<void, VcpuFailed>()
    /** Pausing, resuming, stopping, and what a snapshot needs the machine paused for, happen one after another. */
    const control = Semaphore.makeUnsafe(1)
    /** Snapshots are written one after another. */
    const saving = Semaphore.makeUnsafe(1)
    const guest = new GuestAgent(channelOf(machine))
    if (machine.agentConsole === undefined) {
      guest.close(new GuestUnavailable({ message: "this machine has no agent device (devices.agent is false)" }))
    }

    /** What the clocks showed at the pause; set again on resuming only where KVM's own are not those. */
    let paused =
      foundation.restoredTime === undefined ? undefined : { time: foundation.restoredTime, setOnResume: true }
    const realtime = foundation.clock === "realtime"
    let failure: NativeVcpuStop | undefined
    let endedBy = "the machine has stopped"

    const publish = (event: MicroVmEvent): void => void PubSub.publishUnsafe(events, event)
    const move = (event: LifecycleEvent): Effect.Effect<void, WrongState> =>
      lifecycle.dispatch(event).pipe(Effect.map((state) => publish({ type: "state", state: stateName(state) })))
    /** Fails where `event` would not be taken, before anything is done for it. */
    const check = (event: LifecycleEvent): Effect.Effect<void, WrongState> =>
      Effect.suspend(() => {
        const state = lifecycle.get()
        return Option.isSome(step(state, event)) ? Effect.void : Effect.fail(wrongState(state._tag, event._tag))
      })
    const kvm = <A>(work: () => A): Effect.Effect<A, KvmError> => Effect.try({ try: work, catch: toKvmError })

    const describeFailure = (stop: NativeVcpuStop): VcpuFailed =>
      describeVcpuFailure(machine.vm, machine.memory, machine.runPages[stop.vcpu], stop)

    const fail = (stop: NativeVcpuStop) =>
      Effect.gen(function* () {
        const state = yield* lifecycle.current
        if (state._tag === "Stopped" || state._tag === "Failed") return
        yield* machine.pause
        const error = describeFailure(stop)
        yield* move(LifecycleEvent.Fail({ error }))
        publish({ type: "vcpuFailed", error })
        machine.serial.endOutput()
        guest.close(new GuestUnavailable({ message: `the machine failed: ${error.message}`, cause: error }))
        yield* Deferred.fail(stopped, error)
      })

    const park = Effect.gen(function* () {
      yield* machine.pause
      if (failure !== undefined) return yield* describeFailure(failure)
      // A machine whose clocks cannot be read runs on as before.
      const time = yield* kvm(() => capturePausedTime(machine.vm)).pipe(Effect.tapError(() => machine.resume))
      paused = { time, setOnResume: false }
    })

    const run = Effect.gen(function* () {
      const held = paused
      if (held?.setOnResume) yield* kvm(() => applyPausedTime(machine.vm, held.time, { realtime }))
      yield* kvm(() => {
        // The guest's watchdogs are told that time passed without it. A guest without kvmclock has no such ear.
        for (let vcpu = 0; vcpu < machine.vcpus; vcpu++) machine.vm.kvmclockCtrl(vcpu)
      })
      yield* machine.resume
      paused = undefined
    })

    const pause = Effect.gen(function* () {
      yield* check(LifecycleEvent.Pause())
      yield* park
      yield* move(LifecycleEvent.Pause())
    }).pipe(control.withPermit, Effect.uninterruptible)

    const resume = Effect.gen(function* () {
      yield* check(LifecycleEvent.Resume())
      yield* run
      yield* move(LifecycleEvent.Resume())
    }).pipe(control.withPermit, Effect.uninterruptible)

    const start = Effect.gen(function* () {
      yield* check(LifecycleEvent.Start())
      yield* machine.resume
      yield* move(LifecycleEvent.Start())
    }).pipe(control.withPermit, Effect.uninterruptible)

    /** A snapshot is taken of a machine that runs or is paused. */
    const checkSnapshot = Effect.suspend(() =>
      lifecycle.get()._tag === "Running" ? Effect.void : check(LifecycleEvent.Resume()),
    )

    const whilePaused: SnapshotSource<PauseError>["whilePaused"] = (work) =>
      Effect.gen(function* () {
        yield* checkSnapshot
        const captured = Effect.suspend(() => {
          if (paused === undefined) return Effect.die("a machine that is not paused cannot be saved")
          const { machineState, probe, host } = foundation
          return work({ machine, machineState, probe, host, time: paused.time })
        })
        if (lifecycle.get()._tag === "Paused") return { value: yield* captured, pausedMilliseconds: 0 }
        const began = performance.now()
        const value = yield* Effect.acquireUseRelease(
          park.pipe(Effect.andThen(move(LifecycleEvent.Pause()))),
          () => captured,
          () => run.pipe(Effect.andThen(move(LifecycleEvent.Resume())), Effect.orDie),
        )
        return { value, pausedMilliseconds: performance.now() - began }
      }).pipe(control.withPermit)

    const snapshot = (options: SnapshotOptions) =>
      checkSnapshot.pipe(
        Effect.andThen(writeSnapshot<PauseError>({ whilePaused }, options)),
        Effect.tap((info) => Effect.sync(() => publish({ type: "snapshot", info }))),
        saving.withPermit,
      )

    const stop = Effect.gen(function* () {
      const state = yield* lifecycle.current
      if (state._tag === "Stopped") return
      yield* move(LifecycleEvent.Stop()).pipe(Effect.orDie)
      guest.close(new GuestUnavailable({ message: endedBy }))
      yield* release
      yield* Deferred.succeed(stopped, undefined)
      yield* PubSub.shutdown(events)
    }).pipe(control.withPermit, Effect.uninterruptible)

    callbacks.onVcpuFailure = (vcpuStop) => {
      if (failure !== undefined) return
      failure = vcpuStop
      inBackground("vCPU failure", fail(vcpuStop).pipe(control.withPermit))
    }
    callbacks.onReset = () => {
      publish({ type: "guestReset" })
      endedBy = "the guest reset itself, which ended the machine"
      // Later: this is still inside the guest's own access.
      setImmediate(() => inBackground("guest reset", stop))
    }

    return {
      guest,
      console: {
        output: machine.serial.output,
        write: (input) => machine.serial.write(typeof input === "string" ? Buffer.from(input) : input),
      },
      balloon: machine.balloon?.balloon,
      state: lifecycle.current,
      states: lifecycle.changes,
      events: Stream.fromPubSub(events),
      machine: foundation.machineState,
      residentBytes: kvm(() => machine.memory.regions.reduce((sum, region) => sum + region.memory.residentBytes(), 0)),
      start,
      pause,
      resume,
      snapshot,
      stop,
      stopped: Deferred.await(stopped),
    }
  })

/**
 * Makes a microVM in a scope of its own, which `stop` ends; the scope around it ends it at the latest.
 */
const scoped = <E>(
  build: (callbacks: Callbacks, scope: Scope.Scope) => Effect.Effect<readonly [Machine, Foundation], E>,
): Effect.Effect<MicroVm, E, Scope.Scope> =>
  Effect.gen(function* () {
    const callbacks = new Callbacks()
    const own = yield* Scope.make()
    const release = Scope.close(own, Exit.void)
    const [machine, foundation] = yield* build(callbacks, own).pipe(Effect.onError(() => release))
    const microVm = yield* assemble(machine, callbacks, release, foundation)
    yield* Effect.addFinalizer(() => microVm.stop)
    return microVm
  }).pipe(Effect.uninterruptible)

/** Makes a machine, loads its kernel, and leaves it ready to start. */
export const create = (config: MicroVmConfig = {}) =>
  Effect.gen(function* () {
    const plan = yield* prepareBoot(config)
    const probe = yield* requireHost
    return yield* scoped((callbacks, scope) =>
      Effect.gen(function* () {
        const native = loadNative()
        const regions = memoryRegions(plan.memoryBytes)
        const memories = yield* mapMemories(
          native,
          regions.map(({ size }) => ({ size, source: { kind: "anonymous" } })),
        )
        const machine = yield* makeMachine(native, {
          vcpus: plan.config.vcpus,
          devices: plan.config.devices,
          memories,
          ...callbacks.handlers,
        })
        const host = yield* hostOf(machine.vm, probe)
        const machineState = yield* bootMachine(machine, plan, probe)
        return [
          machine,
          { probe, host, machineState, restoredTime: undefined, initial: LifecycleState.Configured() },
        ] as const
      }).pipe(Scope.provide(scope)),
    )
  })

/** Fails before anything is put in place, rather than when the machine is resumed. */
const requireRealtime = (saved: ClockData): Effect.Effect<void, ClockRealtimeMissing> =>
  Effect.try({ try: () => void clockToSet(saved, true), catch: (error) => error as ClockRealtimeMissing })

/**
 * Brings a machine back from a snapshot directory: paused where it was, or running with `resume`. Fails with
 * `SnapshotIncompatible` where it will not run on this host, unless forced.
 */
export const restore = (dir: string, options: RestoreOptions = {}) =>
  Effect.gen(function* () {
    const probe = yield* requireHost
    const microVm = yield* scoped((callbacks, scope) =>
      Effect.gen(function* () {
        const native = loadNative()
        const opened = yield* openSnapshot(dir, options)
        const memories = yield* mapMemories(native, opened.chain.memories)
        const machine = yield* makeMachine(native, {
          vcpus: opened.state.machine.vcpus,
          devices: opened.state.machine.devices,
          memories,
          ...callbacks.handlers,
        })
        const host = yield* hostOf(machine.vm, probe)
        if (options.force !== true) yield* requireCompatible(dir, opened, host, options.compatibility)
        const clock = options.clock ?? "continue"
        if (clock === "realtime") yield* requireRealtime(opened.state.vm.clock)
        const restoredTime = yield* restoreMachine(machine, opened.state)
        return [
          machine,
          { probe, host, machineState: opened.state.machine, restoredTime, clock, initial: LifecycleState.Paused() },
        ] as const
      }).pipe(Scope.provide(scope)),
    )
    if (options.resume === true) yield* microVm.resume.pipe(Effect.catchTag("WrongState", Effect.die))
    return microVm
  })
