/** What can go wrong with a snapshot's directory. */
import * as Data from "effect/Data"
import { KvmError } from "../../native.ts"

/** Something is already at the place where a snapshot was to be written. It is untouched. */
export class SnapshotExists extends Data.TaggedError("SnapshotExists")<{
  readonly message: string
  readonly path: string
}> {
  readonly code = "CRYOVM_SNAPSHOT_EXISTS"
}

/** A snapshot could not be written. Nothing of it is left under its name. */
export class SnapshotWriteFailed extends Data.TaggedError("SnapshotWriteFailed")<{
  readonly message: string
  /** The file or directory that was being written. */
  readonly path: string
  /** For example `ENOSPC`; empty where it was no system call that failed. */
  readonly errnoName: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_SNAPSHOT_WRITE_FAILED"
}

/** There is no directory of that name. */
export class SnapshotNotFound extends Data.TaggedError("SnapshotNotFound")<{
  readonly message: string
  readonly path: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_SNAPSHOT_NOT_FOUND"
}

/** The directory is there and has no `state.cryo`: it is no snapshot, or not all of one. */
export class SnapshotIncomplete extends Data.TaggedError("SnapshotIncomplete")<{
  readonly message: string
  readonly path: string
}> {
  readonly code = "CRYOVM_SNAPSHOT_INCOMPLETE"
}

/** The operating system refused to read a file of a snapshot. */
export class SnapshotReadFailed extends Data.TaggedError("SnapshotReadFailed")<{
  readonly message: string
  readonly path: string
  /** For example `EACCES`. */
  readonly errnoName: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_SNAPSHOT_READ_FAILED"
}

/** The memory file is not there, is no regular file, or has another size than the manifest says. */
export class MemoryFileInvalid extends Data.TaggedError("MemoryFileInvalid")<{
  readonly message: string
  readonly path: string
  readonly expectedBytes: number
  /** `undefined` where there is no regular file. */
  readonly actualBytes: number | undefined
}> {
  readonly code = "CRYOVM_MEMORY_FILE_INVALID"
}

/** The parts of a snapshot, or a snapshot and its parent, contradict each other. */
export class SnapshotInconsistent extends Data.TaggedError("SnapshotInconsistent")<{
  readonly message: string
  readonly dir: string
}> {
  readonly code = "CRYOVM_SNAPSHOT_INCONSISTENT"
}

/** Symbolic errno of a failed file operation, Node's or the addon's; empty for anything else. */
export const errnoNameOf = (cause: unknown): string => {
  if (cause instanceof KvmError) return cause.errnoName
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : ""
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: "the file system is full: free some space, or write the snapshot to another one",
  EDQUOT: "the disk quota is used up: free some space, or write the snapshot elsewhere",
  EROFS: "the file system is read-only: write the snapshot to another one, or mount it read-write",
  EACCES: "permission denied: the parent directory has to be writable and searchable for this user",
  EPERM: "not permitted: the parent directory has to be writable for this user",
  ENOENT: "the parent directory does not exist: create it first",
  ENOTDIR: "a part of the path is not a directory",
  ENAMETOOLONG: "the name is too long: a snapshot's name is also used, with some more, for a temporary directory",
  EFBIG: "the file would be larger than the file system or the process's limit allows",
  EMFILE: "the process has too many files open: raise its limit (ulimit -n)",
}

/** What a dump to `path` failed with: the operating system's refusal to write, unless the addon refused by itself. */
export const toDumpFailed = (path: string, error: KvmError): SnapshotWriteFailed | KvmError =>
  error.errno === 0 ? error : toWriteFailed(path, error)

/** Maps what a file operation threw while `path` was written. Keeps one that is already ours. */
export const toWriteFailed = (path: string, cause: unknown): SnapshotWriteFailed => {
  if (cause instanceof SnapshotWriteFailed) return cause
  const errnoName = errnoNameOf(cause)
  const reason = REMEDIES[errnoName] ?? (cause instanceof Error ? cause.message : String(cause))
  const named = errnoName === "" ? reason : `${reason} (${errnoName})`
  return new SnapshotWriteFailed({ message: `cannot write ${path}: ${named}`, path, errnoName, cause })
}
