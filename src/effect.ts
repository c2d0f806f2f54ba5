/**
 * `cryovm/effect`: the library as Effects, scopes, layers and streams.
 *
 * ```ts
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const vm = yield* MicroVm.create({ memoryMib: 128 })
 *   yield* vm.start
 *   yield* vm.guest.ready()
 *   const info = yield* vm.snapshot({ dir: "./warm" })
 * }))
 * ```
 */
export type { Balloon } from "./devices/balloon/control.ts"
export * from "./errors.ts"
export type { MachineState, MicroVmConfig } from "./machine/config.ts"
export type { HostProfile } from "./machine/host-profile.ts"
export { formatHostProfile, parseHostProfile } from "./machine/host-profile-json.ts"
export { MicroVmService } from "./micro-vm/service.ts"
export * as MicroVm from "./micro-vm.ts"
export { type LineageNode, readLineage as snapshotLineage } from "./snapshot/chain/lineage.ts"
export {
  checkSnapshot as checkCompatibility,
  measureHost as hostProfile,
  needsOfSnapshot as describeNeeds,
} from "./snapshot/compatibility/check.ts"
export type { Compatibility, Finding, FindingCode, Severity, Verdict } from "./snapshot/compatibility/finding.ts"
export type { CompatibilityOptions } from "./snapshot/compatibility/for-restore.ts"
export type { SnapshotNeeds } from "./snapshot/compatibility/needs.ts"
export { formatSnapshotNeeds, parseSnapshotNeeds } from "./snapshot/compatibility/needs-json.ts"
export { describeSnapshot as inspectSnapshot, type SnapshotDescription } from "./snapshot/inspect.ts"
export type { SectionDifference, SectionVersion } from "./snapshot/operations/compare-sections.ts"
export type {
  ComparedSnapshot,
  CompareOptions,
  MemoryDifference,
  SnapshotComparison,
} from "./snapshot/operations/compare-snapshots.ts"
export { compareSnapshots } from "./snapshot/operations/compare-snapshots.ts"
export type { FieldDifference } from "./snapshot/operations/compare-values.ts"
export type { DerivedSnapshotInfo } from "./snapshot/operations/derive.ts"
export type { ExportedMemory, ExportOptions } from "./snapshot/operations/export-memory.ts"
export { exportMemory } from "./snapshot/operations/export-memory.ts"
export { flatten } from "./snapshot/operations/flatten.ts"
export type { ImportOptions } from "./snapshot/operations/import-memory.ts"
export { importMemory } from "./snapshot/operations/import-memory.ts"
export type { OperationOptions } from "./snapshot/operations/operation.ts"
export { type RebaseOptions, rebase } from "./snapshot/operations/rebase.ts"
export { type SnapshotVerification, type VerifyOptions, verifySnapshot } from "./snapshot/operations/verify.ts"
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
