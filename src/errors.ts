/**
 * Every error this library fails with: one class a failure, each with a stable `code` and, where there is one, a
 * `cause`.
 */
export {
  BalloonFeatureMissing,
  BalloonInactive,
  BalloonIntervalInvalid,
  BalloonPolicyInvalid,
  BalloonTargetInvalid,
} from "./devices/balloon/errors.ts"
export { AddressRangeRefused } from "./devices/bus.ts"
export { DeviceClosed, DeviceStateRefused } from "./devices/device.ts"
export { InputTooLarge } from "./devices/input.ts"
export { EmbeddedGuestDamaged } from "./guest/embedded.ts"
export {
  GuestAgentTooOld,
  GuestEntropyInvalid,
  GuestOutputTooLarge,
  GuestProtocolError,
  GuestRequestFailed,
  GuestRequestTooLarge,
  GuestTimeout,
  GuestUnavailable,
} from "./guest/errors.ts"
export { CommandLineInvalid } from "./machine/boot/command-line.ts"
export { ConfigInvalid } from "./machine/config.ts"
export { BootFileUnreadable, HostUnsupported, VcpuFailed } from "./machine/errors.ts"
export { ClockRealtimeMissing } from "./machine/kvm/paused-time.ts"
export { MsrRefused, NestedStateUnsupported, TscFrequencyUnsupported } from "./machine/kvm/save-restore.ts"
export { KvmStructureInvalid } from "./machine/kvm/structure.ts"
export { InitramfsInvalid } from "./machine/loader/initramfs.ts"
export { KernelInvalid } from "./machine/loader/kernel-invalid.ts"
export { AfterRestoreFailed } from "./micro-vm/after-restore.ts"
export { RollbackUnderWay } from "./micro-vm/roll-back.ts"
export { KvmError, NativeAddonMissing } from "./native.ts"
export {
  MemoryFileInvalid,
  SnapshotExists,
  SnapshotIncomplete,
  SnapshotInconsistent,
  SnapshotNotFound,
  SnapshotReadFailed,
  SnapshotWriteFailed,
} from "./snapshot/bundle/bundle.ts"
export { ChainTooLarge, ParentMismatch, ParentMissing, ParentUnreadable } from "./snapshot/chain/errors.ts"
export { SnapshotIncompatible } from "./snapshot/compatibility/incompatible.ts"
export { SnapshotNotDiff } from "./snapshot/operations/export-memory.ts"
export { SnapshotDamaged } from "./snapshot/problem.ts"
export { ResourcesRefused } from "./snapshot/restore/resources.ts"
export { MemoryDiffInvalid } from "./snapshot/runs/memory-diff.ts"
export { ParentOfOtherMachine, SnapshotOptionsInvalid } from "./snapshot/save/parent.ts"
export { StateDowngradeLossy, StateInvalid, StateVersionUnsupported } from "./state/component.ts"
export { DocumentInvalid } from "./state/document.ts"
export {
  StateCorrupt,
  StateFormatTooNew,
  StateNotCryovm,
  StateTooLarge,
  StateTruncated,
} from "./state/envelope-errors.ts"
export { WrongState } from "./state/lifecycle.ts"
export { SnapshotArchitectureMismatch } from "./state/manifest.ts"
export { SectionsUnsupported } from "./state/registry.ts"
