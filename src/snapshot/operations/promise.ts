/** The operations on snapshots on disk as Promises. None of them needs KVM or a machine. */
import { type AbortOptions, run } from "../../promise.ts"
import * as Compare from "./compare-snapshots.ts"
import type { DerivedSnapshotInfo } from "./derive.ts"
import * as Export from "./export-memory.ts"
import * as Flatten from "./flatten.ts"
import * as Import from "./import-memory.ts"
import type { OperationOptions } from "./operation.ts"
import * as Rebase from "./rebase.ts"
import * as Verify from "./verify.ts"

/**
 * Looks for damage in a snapshot and, without `chain: false`, in all that it is a difference to: every bit of the state
 * and of memory is held against its digest. Damage is a result, with what of the guest it concerns.
 * @throws SnapshotNotFound, SnapshotReadFailed, StateFormatTooNew, StateVersionUnsupported, KvmError
 */
export const verifySnapshot = (
  dir: string,
  options: Verify.VerifyOptions & AbortOptions = {},
): Promise<Verify.SnapshotVerification> => run(Verify.verifySnapshot(dir, options), options)

/**
 * Writes a full snapshot to `out` with the content of the one at `dir` and all that it is a difference to. These are
 * verified first, and stay as they are.
 * @throws SnapshotDamaged, ParentMissing, ParentMismatch, SnapshotOptionsInvalid, SnapshotExists, SnapshotWriteFailed, ...
 */
export const flatten = (
  dir: string,
  out: string,
  options: OperationOptions & AbortOptions = {},
): Promise<DerivedSnapshotInfo> => run(Flatten.flatten(dir, out, options), options)

/**
 * Writes a diff snapshot to `out` with the content of the one at `dir`, as a difference to the snapshot `onto`: any of a
 * machine with as much memory. Onto the full snapshot of its own chain, that makes one layer of all in between. Both
 * are verified first, and stay as they are.
 * @throws ParentOfOtherMachine where `onto` has other memory, SnapshotDamaged, ParentMissing, ParentMismatch, ...
 */
export const rebase = (
  dir: string,
  out: string,
  options: Rebase.RebaseOptions & AbortOptions,
): Promise<DerivedSnapshotInfo> => run(Rebase.rebase(dir, out, options), options)

/**
 * What differs between two snapshots: components with their fields, and memory by guest-physical addresses.
 * @throws SnapshotNotFound, StateCorrupt, ParentMissing, ParentMismatch, ...
 */
export const compareSnapshots = (
  a: string,
  b: string,
  options: Compare.CompareOptions & AbortOptions = {},
): Promise<Compare.SnapshotComparison> => run(Compare.compareSnapshots(a, b, options), options)

/**
 * Writes the memory of a snapshot to a flat, sparse file, laid out as the memory files of Firecracker are; with
 * `changesOnly`, of a diff, only the pages that it changed, as in those of its diff snapshots.
 * @throws SnapshotNotDiff, SnapshotDamaged, ParentMissing, ParentMismatch, SnapshotOptionsInvalid, SnapshotExists, ...
 */
export const exportMemory = (
  dir: string,
  file: string,
  options: Export.ExportOptions & AbortOptions = {},
): Promise<Export.ExportedMemory> => run(Export.exportMemory(dir, file, options), options)

/**
 * Writes a full snapshot to `out` with the machine state of the one at `dir` and the memory of a flat file.
 * @throws MemoryFileInvalid where its size is not that of the guest's memory, SnapshotOptionsInvalid, SnapshotExists, ...
 */
export const importMemory = (
  dir: string,
  file: string,
  out: string,
  options: Import.ImportOptions & AbortOptions = {},
): Promise<DerivedSnapshotInfo> => run(Import.importMemory(dir, file, out, options), options)
