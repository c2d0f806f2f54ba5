/**
 * A snapshot on disk: a directory, the bundle, with `state.cryo` and the guest's memory beside it.
 *
 * {@link publishBundle} makes one appear whole or not at all; {@link readManifest}, {@link readStateFile} and
 * {@link checkMemoryFile} read one that may have come from anywhere.
 */
export {
  errnoNameOf,
  MemoryFileInvalid,
  SnapshotExists,
  SnapshotIncomplete,
  SnapshotInconsistent,
  SnapshotNotFound,
  SnapshotReadFailed,
  SnapshotWriteFailed,
  toDumpFailed,
  toWriteFailed,
} from "./errors.ts"
export {
  checkMemoryFile,
  openFlatFile,
  openMemoryFile,
  readHead,
  readManifest,
  readStateBytes,
  readStateFile,
  readStateHeader,
  type SnapshotHead,
  type StateReadError,
} from "./reader.ts"
export { MEMORY_FILE, type PublishOptions, publishBundle, STATE_FILE, writeBundleFile } from "./writer.ts"
