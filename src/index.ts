/**
 * `cryovm`: the library as Promises. Every failure is one of the typed errors in `errors.ts`, with a stable `code`.
 *
 * ```ts
 * await using vm = await MicroVm.create({ memoryMib: 128 })
 * await vm.start()
 * await vm.guest.ready()
 * await vm.snapshot({ dir: "./warm" })
 *
 * await using copy = await MicroVm.restore("./warm", { resume: true })
 * console.log((await copy.guest.exec("uname -a")).stdout)
 * ```
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Balloon } from "./devices/balloon/promise.ts"
import { Guest } from "./guest/promise.ts"
import type { MachineState, MicroVmConfig } from "./machine/config.ts"
import * as Vm from "./micro-vm.ts"
import { type AbortOptions, run } from "./promise.ts"
import type { SnapshotInfo, SnapshotOptions } from "./snapshot/save/snapshot-options.ts"

export type { BalloonMetrics } from "./devices/balloon/metrics.ts"
export type { KeepAvailableOptions, PolicyMove } from "./devices/balloon/policy.ts"
export type { Balloon } from "./devices/balloon/promise.ts"
export type { BalloonState } from "./devices/balloon/state-machine.ts"
export type { BalloonStatistics } from "./devices/balloon/statistics.ts"
export * from "./errors.ts"
export type { Guest } from "./guest/promise.ts"
export type {
  AgentHello,
  ExecOptions,
  ExecResult,
  FillMemoryOptions,
  FillMemoryResult,
  GuestCounter,
  GuestTime,
  ReadMemoryResult,
  ReseedOptions,
} from "./guest/types.ts"
export type { MachineState, MicroVmConfig } from "./machine/config.ts"
export type { HostProfile } from "./machine/host-profile.ts"
export { formatHostProfile, parseHostProfile } from "./machine/host-profile-json.ts"
export type { MicroVmEvent, MicroVmState, RestoreClock, RestoreSettings } from "./micro-vm.ts"
export type { AbortOptions } from "./promise.ts"
export { type LineageNode, snapshotLineage } from "./snapshot/chain/lineage.ts"
export {
  checkCompatibility,
  describeNeeds,
  hostProfile,
} from "./snapshot/compatibility/check.ts"
export type { Compatibility, Finding, FindingCode, Severity, Verdict } from "./snapshot/compatibility/finding.ts"
export type { CompatibilityOptions } from "./snapshot/compatibility/for-restore.ts"
export type { SnapshotNeeds } from "./snapshot/compatibility/needs.ts"
export { formatSnapshotNeeds, parseSnapshotNeeds } from "./snapshot/compatibility/needs-json.ts"
export { inspectSnapshot, type SnapshotDescription } from "./snapshot/inspect.ts"
export type { SectionDifference, SectionVersion } from "./snapshot/operations/compare-sections.ts"
export type {
  ComparedSnapshot,
  CompareOptions,
  MemoryDifference,
  SnapshotComparison,
} from "./snapshot/operations/compare-snapshots.ts"
export type { FieldDifference } from "./snapshot/operations/compare-values.ts"
export type { DerivedSnapshotInfo } from "./snapshot/operations/derive.ts"
export type { ExportedMemory, ExportOptions } from "./snapshot/operations/export-memory.ts"
export type { ImportOptions } from "./snapshot/operations/import-memory.ts"
export type { OperationOptions } from "./snapshot/operations/operation.ts"
export {
  compareSnapshots,
  exportMemory,
  flatten,
  importMemory,
  rebase,
  verifySnapshot,
} from "./snapshot/operations/promise.ts"
export type { RebaseOptions } from "./snapshot/operations/rebase.ts"
export type { SnapshotVerification, VerifyOptions } from "./snapshot/operations/verify.ts"
export type { LinkVerification, SnapshotPart, SnapshotProblem } from "./snapshot/problem.ts"
export type { DumpProgress } from "./snapshot/progress.ts"
export type { ResourceOverrides, ResourceProblem } from "./snapshot/restore/resources.ts"
export type {
  DiffSnapshotOptions,
  FullSnapshotOptions,
  SnapshotInfo,
  SnapshotOptions,
  SnapshotTimes,
} from "./snapshot/save/snapshot-options.ts"

/** The serial console, COM1 of the guest. */
export interface Console {
  /**
   * Output as it comes, preceded by what is kept of the output so far (64 KiB at most). Each loop has its own. Where the
   * machine is rolled back, it goes on with what the guest says from then on. Ends when the machine has stopped or
   * failed; `stopped()` tells which.
   */
  readonly output: AsyncIterable<Uint8Array>
  /** Types into the console; waits while the guest does not read. */
  write(input: string | Uint8Array, options?: AbortOptions): Promise<void>
}

export interface RestoreOptions extends Vm.RestoreSettings {
  /**
   * Run at once, or leave the machine paused where it was saved. By default `restore` leaves it paused, and
   * `restoreFrom` lets it run where it ran before.
   */
  readonly resume?: boolean
  /**
   * Done to a machine that came back, before anybody else has it: every copy of a guest has the same secrets and draws
   * the same random numbers until it is told otherwise.
   *
   * ```ts
   * await MicroVm.restore("./warm", { resume: true, afterRestore: (vm) => vm.guest.reseed() })
   * ```
   *
   * With `resume` the machine runs by then, else it is paused: requests to the guest wait for a running machine, so that
   * what needs an answer of the guest needs `resume`, or resumes it. Where this throws or rejects, or the machine fails
   * meanwhile, restoring rejects with `AfterRestoreFailed` and that machine is ended. In `restoreFrom` the machine of
   * before waits until this is done, and goes on where it fails; `vm` already is the one that came back, which this may
   * pause, save or stop, but not roll back.
   */
  readonly afterRestore?: (vm: MicroVm) => unknown
}

/** The options as Effects. @param microVm gives what the hook is called with */
const asEffects = (
  { afterRestore, ...options }: RestoreOptions,
  microVm: (vm: Vm.MicroVm) => MicroVm,
): Vm.RestoreOptions => {
  if (afterRestore === undefined) return options
  const hook = (vm: Vm.MicroVm) =>
    Effect.tryPromise({ try: async () => afterRestore(microVm(vm)), catch: (cause) => cause })
  return { ...options, afterRestore: hook }
}

/** One microVM. */
export class MicroVm implements AsyncDisposable {
  /** The agent in the guest: programs, files, memory. Requests wait for a running machine. */
  readonly guest: Guest
  readonly console: Console
  readonly #vm: Vm.MicroVm
  readonly #scope: Scope.Closeable
  #balloon: Balloon | undefined

  private constructor(vm: Vm.MicroVm, scope: Scope.Closeable) {
    this.#vm = vm
    this.#scope = scope
    this.guest = new Guest(vm.guest)
    this.console = {
      output: Stream.toAsyncIterable(vm.console.output),
      write: (input, options) => run(vm.console.write(input), options),
    }
  }

  /**
   * Makes a machine and loads its kernel; `start` runs it.
   * @throws ConfigInvalid naming every field at fault, HostUnsupported, KernelInvalid, KvmError, ...
   */
  static create(config: MicroVmConfig = {}, options?: AbortOptions): Promise<MicroVm> {
    return MicroVm.#open(() => Vm.create(config), options)
  }

  /**
   * Brings a machine back from a snapshot directory: paused where it was, or running with `resume`. Memory is mapped,
   * not read; the directory has to stay as it is for as long as the machine lives.
   * @throws SnapshotIncompatible where it will not run on this host, unless forced; SnapshotDamaged where it is told to
   *   look for damage (`verify`) and there is some; AfterRestoreFailed
   */
  static restore(dir: string, options: RestoreOptions & AbortOptions = {}): Promise<MicroVm> {
    return MicroVm.#open((microVm) => Vm.restore(dir, asEffects(options, microVm)), options)
  }

  /** @param make given what makes this of it, always the same: a hook has it before the promise does */
  static async #open<E>(
    make: (microVm: (vm: Vm.MicroVm) => MicroVm) => Effect.Effect<Vm.MicroVm, E, Scope.Scope>,
    options?: AbortOptions,
  ): Promise<MicroVm> {
    const scope = Scope.makeUnsafe()
    let made: MicroVm | undefined
    const microVm = (vm: Vm.MicroVm): MicroVm => {
      made ??= new MicroVm(vm, scope)
      return made
    }
    const opening = make(microVm).pipe(
      Scope.provide(scope),
      Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : Scope.close(scope, exit))),
    )
    return microVm(await run(opening, options))
  }

  /**
   * The machine's balloon, where it was made with one (`devices.balloon`). Always the same object, also when the machine
   * is rolled back: what waits then fails with `DeviceClosed`; loops and `keepAvailable` go on.
   */
  get balloon(): Balloon | undefined {
    const { balloon } = this.#vm
    if (balloon === undefined) return undefined
    this.#balloon ??= new Balloon(balloon)
    return this.#balloon
  }

  get state(): Vm.MicroVmState {
    return Vm.stateName(Effect.runSync(this.#vm.state))
  }

  /** What the machine was made of. */
  get machine(): MachineState {
    return this.#vm.machine
  }

  /** Events from the start of the loop on; ends when the machine has stopped. A slow reader loses the oldest of 256. */
  get events(): AsyncIterable<Vm.MicroVmEvent> {
    return Stream.toAsyncIterable(this.#vm.events)
  }

  /** Bytes of guest memory resident in this process. */
  get residentBytes(): number {
    return Effect.runSync(this.#vm.residentBytes)
  }

  /** Runs a configured machine. */
  start(options?: AbortOptions): Promise<void> {
    return run(this.#vm.start, options)
  }

  /** Stops every vCPU at an instruction boundary. */
  pause(options?: AbortOptions): Promise<void> {
    return run(this.#vm.pause, options)
  }

  resume(options?: AbortOptions): Promise<void> {
    return run(this.#vm.resume, options)
  }

  /**
   * Saves the machine into a directory of its own: whole, or of its memory only what changed since another snapshot. A
   * running machine is paused only while its state is saved and its memory copied, and runs on while the files become
   * durable, whether or not the snapshot succeeds; what happens to it meanwhile, its end included, does not concern the
   * snapshot. Aborting leaves no snapshot and the machine as it was. Snapshots of one machine are written one after
   * another.
   *
   * What changed is found the cheapest way there is for that parent, and `tracking` of the result tells which: in KVM's
   * log of the snapshot taken last (`trackDirtyPages`), among the pages that the machine no longer has from the snapshot
   * it was restored from, or by comparing memory with the parent's, which takes longer the more memory there is.
   */
  snapshot(options: SnapshotOptions & AbortOptions): Promise<SnapshotInfo> {
    return run(this.#vm.snapshot(options), options)
  }

  /**
   * Rolls the machine back to a snapshot, its own or any other, in this process and with this object. The new machine is
   * built beside the old one, which stands still meanwhile, and takes its place only when it is whole; on failure or
   * when it is aborted the old one goes on as it was, and lost nothing. A machine that failed can be rolled back, too;
   * one that has stopped is over. The directory has to stay as it is for as long as the machine lives.
   *
   * Requests to the guest that are under way fail with `GuestUnavailable`, those that come later go to the new guest.
   * @throws what `restore` does, WrongState, RollbackUnderWay
   */
  restoreFrom(dir: string, options: RestoreOptions & AbortOptions = {}): Promise<void> {
    const { signal, ...restoring } = options
    return run(
      this.#vm.restoreFrom(
        dir,
        asEffects(restoring, () => this),
      ),
      signal === undefined ? {} : { signal },
    )
  }

  /**
   * Waits until the machine has stopped, by `stop` or by the guest's own reset, whichever snapshots it was rolled back to
   * until then; rejects where it failed.
   */
  stopped(options?: AbortOptions): Promise<void> {
    return run(this.#vm.stopped, options)
  }

  /** Ends the machine and gives everything back. Safe to call again. */
  async stop(): Promise<void> {
    await run(this.#vm.stop)
    await run(Scope.close(this.#scope, Exit.void))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
