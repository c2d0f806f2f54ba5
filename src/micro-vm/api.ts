/** A microVM as its users see it: what it does, what it tells, what it is asked. Made in `micro-vm.ts`. */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Balloon } from "../devices/balloon/control.ts"
import type { DeviceClosed } from "../devices/device.ts"
import type { GuestAgent } from "../guest/agent.ts"
import type { MachineState } from "../machine/config.ts"
import type { VcpuFailed } from "../machine/errors.ts"
import type { KvmError } from "../native.ts"
import type { CompatibilityOptions } from "../snapshot/compatibility/for-restore.ts"
import type { ResourceOptions } from "../snapshot/restore/resources.ts"
import type { SnapshotInfo, SnapshotOptions } from "../snapshot/save/snapshot-options.ts"
import type { SnapshotWriteError } from "../snapshot/save/write.ts"
import type { LifecycleState, WrongState } from "../state/lifecycle.ts"
import type { AfterRestoreFailed } from "./after-restore.ts"
import type { BuildError } from "./build.ts"
import type { RollbackUnderWay } from "./roll-back.ts"

/** Where a machine's lifecycle stands, in a word. */
export type MicroVmState = "configured" | "running" | "paused" | "stopped" | "failed"

export const stateName = (state: LifecycleState): MicroVmState => state._tag.toLowerCase() as MicroVmState

/** What happens to a machine, as it happens. */
export type MicroVmEvent =
  /** The lifecycle moved on. */
  | { readonly type: "state"; readonly state: MicroVmState }
  /** A vCPU cannot go on; the machine is failed. */
  | { readonly type: "vcpuFailed"; readonly error: VcpuFailed }
  /** The guest asked for a reset, which ends this machine. */
  | { readonly type: "guestReset" }
  /** A snapshot is on disk, whole. */
  | { readonly type: "snapshot"; readonly info: SnapshotInfo }
  /** The machine was rolled back to the snapshot in `dir`, as it was given. */
  | { readonly type: "restored"; readonly dir: string }

/** The serial console, COM1 of the guest. */
export interface SerialConsole {
  /**
   * Output from here on, preceded by what is kept of the output so far (64 KiB at most). Where the machine is rolled
   * back, it goes on with what the guest says from then on. Ends when the machine has stopped or failed; `stopped` tells
   * which.
   */
  readonly output: Stream.Stream<Uint8Array>
  /** Types into the console; waits while the guest does not read. */
  readonly write: (input: string | Uint8Array) => Effect.Effect<void, DeviceClosed>
}

/**
 * How a restored guest's paravirtual clock (kvmclock) goes on: `continue` as if no time had passed, `realtime` ahead by
 * the wall-clock time since the pause (KVM_CLOCK_REALTIME, host Linux 5.16). A guest that reads its TSC instead is not
 * concerned; its TSC goes on from the pause wherever KVM can set it.
 */
export type RestoreClock = "continue" | "realtime"

/** How a snapshot is brought back. */
export interface RestoreSettings extends ResourceOptions {
  /** Try it even where the host is not compatible; what KVM itself refuses stays refused. */
  readonly force?: boolean
  /** `continue` by default. */
  readonly clock?: RestoreClock
  /**
   * Where the parents of a diff snapshot are looked for first: directories of snapshots, or of folders with snapshots in
   * them. After these comes what is beside each snapshot.
   */
  readonly parents?: readonly string[]
  /**
   * Look for damage first, in the snapshot and all that it is a difference to, as `verifySnapshot` does: that reads all
   * of it, which a restore does not.
   */
  readonly verify?: boolean
  /**
   * From the start, have KVM log what the guest writes. Without it, a diff to the snapshot restored from costs as little,
   * and the guest nothing; later ones compare what was written since then. By default `restore` does not, and
   * `restoreFrom` where the machine did before.
   */
  readonly trackDirtyPages?: boolean
  /** How the compatibility of snapshot and host is judged. */
  readonly compatibility?: CompatibilityOptions
}

export interface RestoreOptions extends RestoreSettings {
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
   * yield* MicroVm.restore("./warm", { resume: true, afterRestore: (vm) => vm.guest.reseed() })
   * ```
   *
   * With `resume` the machine runs by then, else it is paused: requests to the guest wait for a running machine, so that
   * what needs an answer of the guest needs `resume`, or resumes it. Where this fails, or the machine does meanwhile,
   * restoring fails with `AfterRestoreFailed` and that machine is ended. In `restoreFrom` the machine of before waits
   * until this is done, and goes on where it fails; `vm` already is the one that came back, which this may pause, save
   * or stop, but not roll back.
   */
  readonly afterRestore?: (vm: MicroVm) => Effect.Effect<unknown, unknown>
}

/** Why a machine was not brought back. */
export type RestoreError = BuildError | AfterRestoreFailed

/** Why a machine was not rolled back. */
export type RestoreFromError = RestoreError | RollbackUnderWay | WrongState

/** One microVM. Made by `create` and `restore`; gone with the scope it was made in, or at `stop`. */
export interface MicroVm {
  /** The agent in the guest: programs, files, memory. Requests wait for a running machine. */
  readonly guest: GuestAgent
  readonly console: SerialConsole
  /**
   * The machine's balloon, where it was made with one (`devices.balloon`). Always the same object, also when the machine
   * is rolled back: what waits then fails with `DeviceClosed`; streams and `keepAvailable` go on.
   */
  readonly balloon: Balloon | undefined
  /** Where the lifecycle stands. */
  readonly state: Effect.Effect<LifecycleState>
  /** Where it stands, and every later state. */
  readonly states: Stream.Stream<LifecycleState>
  /** Events from the subscription on; ends when the machine has stopped. A slow reader loses the oldest of 256. */
  readonly events: Stream.Stream<MicroVmEvent>
  /** What the machine was made of. */
  readonly machine: MachineState
  /** Bytes of guest memory resident in this process. */
  readonly residentBytes: Effect.Effect<number, KvmError>
  /** Runs a configured machine. */
  readonly start: Effect.Effect<void, WrongState | KvmError>
  /** Stops every vCPU at an instruction boundary. */
  readonly pause: Effect.Effect<void, WrongState | KvmError | VcpuFailed>
  readonly resume: Effect.Effect<void, WrongState | KvmError>
  /**
   * Saves the machine into a directory of its own: whole, or of its memory only what changed since another snapshot. A
   * running machine is paused only while its state is saved and its memory copied, and runs on while the files become
   * durable, whether or not the snapshot succeeds; what happens to it meanwhile, its end included, does not concern the
   * snapshot. Interruption leaves no snapshot and the machine as it was. Snapshots of one machine are written one after
   * another.
   *
   * What changed is found the cheapest way there is for that parent, and `tracking` of the result tells which: in KVM's
   * log of the snapshot taken last (`trackDirtyPages`), among the pages that the machine no longer has from the snapshot
   * it was restored from, or by comparing memory with the parent's, which takes longer the more memory there is.
   */
  readonly snapshot: (
    options: SnapshotOptions,
  ) => Effect.Effect<SnapshotInfo, SnapshotWriteError | WrongState | KvmError | VcpuFailed>
  /**
   * Rolls the machine back to a snapshot, its own or any other, in this process and with this object. The new machine is
   * built beside the old one, which stands still meanwhile, and takes its place only when it is whole; on failure or
   * interruption the old one goes on as it was, and lost nothing. A machine that failed can be rolled back, too; one that
   * has stopped is over.
   *
   * Requests to the guest that are under way fail with `GuestUnavailable`, those that come later go to the new guest.
   */
  readonly restoreFrom: (dir: string, options?: RestoreOptions) => Effect.Effect<void, RestoreFromError>
  /** Ends the machine and gives everything back. Safe to call again. */
  readonly stop: Effect.Effect<void>
  /**
   * Waits until the machine has stopped, by `stop` or by the guest's own reset, whichever snapshots it was rolled back to
   * until then. Fails where it failed.
   */
  readonly stopped: Effect.Effect<void, VcpuFailed>
}
