/**
 * One machine of a microVM, from when it was built to its end: what it does by itself, whatever the microVM makes of it.
 * A microVM that is rolled back goes on with another generation.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { AgentClient } from "../guest/client.ts"
import { GuestUnavailable } from "../guest/errors.ts"
import type { MachineState } from "../machine/config.ts"
import type { VcpuFailed } from "../machine/errors.ts"
import type { HostProfile } from "../machine/host-profile.ts"
import { applyPausedTime, capturePausedTime, type PausedTime } from "../machine/kvm/paused-time.ts"
import type { Machine, MachineOptions } from "../machine/machine.ts"
import { describeVcpuFailure } from "../machine/vcpu-failure.ts"
import { type KvmError, type NativeHostProbe, type NativeVcpuStop, toKvmError } from "../native.ts"
import type { MemoryHistory } from "../snapshot/save/memory-history.ts"
import type { PausedMachine } from "../snapshot/save/write.ts"
import { agentChannel } from "./agent-channel.ts"

/** What a generation is made of. */
export interface Foundation {
  readonly machine: Machine
  readonly machineState: MachineState
  readonly probe: NativeHostProbe
  readonly host: HostProfile
  readonly history: MemoryHistory
  /** Of a restored machine: its clocks stand until it first runs, and then go on from here. */
  readonly restored?: { readonly time: PausedTime; readonly realtime: boolean }
}

/** What a machine calls back with. */
export type MachineHandlers = Pick<MachineOptions, "onVcpuFailure" | "onReset">

/** How a generation ended: for good, or with another one in its place. */
export type GenerationEnd = "stopped" | "exchanged"

/** Makes an effect as interruptible as the caller is: what `Effect.uninterruptibleMask` gives. */
export type Interruptible = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const kvm = <A>(work: () => A): Effect.Effect<A, KvmError> => Effect.try({ try: work, catch: toKvmError })

/** What a machine tells of itself, kept from the first moment on: there may be nobody yet to hear it. */
class Signals {
  failure: NativeVcpuStop | undefined
  hasReset = false
  /** Done with the first of either. */
  readonly lost = Deferred.makeUnsafe<void>()
  onFailure: () => void = () => {}
  onReset: () => void = () => {}

  readonly handlers: MachineHandlers = {
    onVcpuFailure: (stop) => {
      if (this.failure !== undefined) return
      this.failure = stop
      this.lose()
      this.onFailure()
    },
    onReset: () => {
      if (this.hasReset) return
      this.hasReset = true
      this.lose()
      this.onReset()
    },
  }

  lose(): void {
    Deferred.doneUnsafe(this.lost, Effect.void)
  }
}

export class Generation {
  readonly machine: Machine
  readonly machineState: MachineState
  /** Requests to its guest. */
  readonly client: AgentClient
  /** How it ended; fails with the machine. */
  readonly ended = Deferred.makeUnsafe<GenerationEnd, VcpuFailed>()
  readonly #foundation: Foundation
  readonly #signals: Signals
  readonly #release: Effect.Effect<void>
  /** What the clocks showed at the pause; set again on resuming only where KVM's own are not those. */
  #paused: { readonly time: PausedTime; readonly setOnResume: boolean } | undefined
  #error: VcpuFailed | undefined
  #isOver = false

  /** @param release gives back all that the machine is made of */
  constructor(foundation: Foundation, signals: Signals, release: Effect.Effect<void>) {
    const { machine, machineState, restored } = foundation
    this.machine = machine
    this.machineState = machineState
    this.client = new AgentClient(agentChannel(machine.agentConsole))
    if (machine.agentConsole === undefined) {
      const message = "this machine has no agent device (devices.agent is false)"
      this.client.close(new GuestUnavailable({ message }))
    }
    this.#foundation = foundation
    this.#signals = signals
    this.#release = release
    if (restored !== undefined) this.#paused = { time: restored.time, setOnResume: true }
  }

  /** A vCPU of it cannot go on. */
  get hasFailed(): boolean {
    return this.#signals.failure !== undefined
  }

  /** Its guest asked for a reset. */
  get hasReset(): boolean {
    return this.#signals.hasReset
  }

  /** All that it was made of is given back, or being so. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Waits until its guest cannot go on: a vCPU failed, the guest reset itself, or the machine was ended. */
  get lost(): Effect.Effect<void> {
    return Deferred.await(this.#signals.lost)
  }

  /** Has each called once, when it happens. The guest's reset is told of inside the guest's own access. */
  listen(onFailure: () => void, onReset: () => void): void {
    this.#signals.onFailure = onFailure
    this.#signals.onReset = onReset
  }

  /** Stops every vCPU, and keeps what the clocks show. Where that cannot be read the machine runs on as before. */
  get park(): Effect.Effect<void, KvmError | VcpuFailed> {
    const { machine } = this
    return Effect.gen({ self: this }, function* () {
      yield* machine.pause
      if (this.#signals.failure !== undefined) return yield* this.#describe(this.#signals.failure)
      const time = yield* kvm(() => capturePausedTime(machine.vm)).pipe(Effect.tapError(() => machine.resume))
      this.#paused = { time, setOnResume: false }
    })
  }

  /** Lets every vCPU run; the clocks of a restored machine go on from where they stood. */
  get run(): Effect.Effect<void, KvmError> {
    const { machine } = this
    return Effect.gen({ self: this }, function* () {
      const paused = this.#paused
      if (paused?.setOnResume) {
        const realtime = this.#foundation.restored?.realtime === true
        yield* kvm(() => applyPausedTime(machine.vm, paused.time, { realtime }))
      }
      yield* kvm(() => {
        // The guest's watchdogs are told that time passed without it. A guest without kvmclock has no such ear.
        for (let vcpu = 0; vcpu < machine.vcpus; vcpu++) machine.vm.kvmclockCtrl(vcpu)
      })
      yield* machine.resume
      this.#paused = undefined
    })
  }

  /** Where its memory came from, and what is known of its snapshots. */
  get history(): MemoryHistory {
    return this.#foundation.history
  }

  /** What a snapshot is taken of; `undefined` while the machine runs or has not run yet. */
  get paused(): PausedMachine | undefined {
    if (this.#paused === undefined) return undefined
    return { ...this.#foundation, time: this.#paused.time }
  }

  /** Why it failed, with every vCPU stopped; `undefined` where it has not, or where it is over. */
  get failure(): Effect.Effect<VcpuFailed | undefined> {
    return Effect.gen({ self: this }, function* () {
      const stop = this.#signals.failure
      if (this.#error !== undefined || stop === undefined || this.#isOver) return this.#error
      yield* this.machine.pause
      return this.#describe(stop)
    })
  }

  /** Its guest will not say or answer anything any more, though the machine can still be looked at. */
  fail(error: VcpuFailed): void {
    this.machine.serial.endOutput()
    this.client.close(new GuestUnavailable({ message: `the machine failed: ${error.message}`, cause: error }))
    Deferred.doneUnsafe(this.ended, Effect.fail(error))
  }

  /** Bytes of its memory resident in this process. */
  get residentBytes(): Effect.Effect<number, KvmError> {
    const { regions } = this.machine.memory
    return kvm(() => regions.reduce((sum, { memory }) => sum + memory.residentBytes(), 0))
  }

  /** Gives everything back. @param message what requests to the guest, made or to come, fail with */
  end(how: GenerationEnd, message: string): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      this.#isOver = true
      this.#signals.lose()
      this.client.close(new GuestUnavailable({ message }))
      yield* this.#release
      Deferred.doneUnsafe(this.ended, Effect.succeed(how))
    })
  }

  #describe(stop: NativeVcpuStop): VcpuFailed {
    const { vm, memory, runPages } = this.machine
    this.#error ??= describeVcpuFailure(vm, memory, runPages[stop.vcpu], stop)
    return this.#error
  }
}

/**
 * Builds a machine in a scope of its own. To be run where it is not interruptible, for nobody but the caller ends it.
 * @param interruptible for the building, which is undone when it is interrupted
 */
export const makeGeneration = <E>(
  interruptible: Interruptible,
  build: (handlers: MachineHandlers) => Effect.Effect<Foundation, E, Scope.Scope>,
): Effect.Effect<Generation, E> =>
  Effect.gen(function* () {
    const signals = new Signals()
    const scope = yield* Scope.make()
    const release = Scope.close(scope, Exit.void)
    const building = interruptible(build(signals.handlers).pipe(Scope.provide(scope)))
    const foundation = yield* building.pipe(Effect.onError(() => release))
    return new Generation(foundation, signals, release)
  })
