/** The operations on snapshots on disk as Promises. None of them needs KVM or a machine. */
import { type AbortOptions, run } from "../promise.ts"
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
