/** Reading a snapshot's directory, which may come from anywhere: sizes and kinds of files are checked first. */
import { close, constants, fstat, open as openDescriptor, type Stats } from "node:fs"
import { type FileHandle, open, stat } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StateInvalid, StateVersionUnsupported } from "../../state/component.ts"
import { type DecodedEnvelope, decodeEnvelope, decodeManifest } from "../../state/envelope.ts"
import {
  StateCorrupt,
  StateFormatTooNew,
  StateNotCryovm,
  StateTooLarge,
  StateTruncated,
} from "../../state/envelope-errors.ts"
import {
  checkLimit,
  MAXIMUM_DIGESTS_BYTES,
  MAXIMUM_HEADER_BYTES,
  MAXIMUM_STATE_BYTES,
  readHeader,
  type StateHeader,
} from "../../state/envelope-header.ts"
import type { Manifest } from "../../state/manifest.ts"
import { errnoNameOf, MemoryFileInvalid, SnapshotIncomplete, SnapshotNotFound, SnapshotReadFailed } from "./errors.ts"
import { STATE_FILE } from "./writer.ts"

const known = [
  MemoryFileInvalid,
  SnapshotIncomplete,
  SnapshotNotFound,
  SnapshotReadFailed,
  StateCorrupt,
  StateFormatTooNew,
  StateInvalid,
  StateNotCryovm,
  StateTooLarge,
  StateTruncated,
  StateVersionUnsupported,
] as const

/** What reading the state of a snapshot can fail with. */
export type StateReadError =
  | SnapshotIncomplete
  | SnapshotNotFound
  | SnapshotReadFailed
  | StateCorrupt
  | StateFormatTooNew
  | StateInvalid
  | StateNotCryovm
  | StateTooLarge
  | StateTruncated
  | StateVersionUnsupported

type KnownError = StateReadError | MemoryFileInvalid

const isKnown = (cause: unknown): cause is KnownError => known.some((each) => cause instanceof each)

/** Runs what fails with known errors or those of the file system; anything else is a defect. */
const reading = <A, E extends KnownError>(path: string, operation: () => Promise<A>): Effect.Effect<A, E> =>
  Effect.catch(Effect.tryPromise({ try: operation, catch: (cause) => ({ cause }) }), ({ cause }) => {
    if (isKnown(cause)) return Effect.fail(cause as E)
    const errnoName = errnoNameOf(cause)
    if (errnoName === "") return Effect.die(cause)
    const message = `cannot read ${path}: ${(cause as Error).message}`
    return Effect.fail(new SnapshotReadFailed({ message, path, errnoName, cause }) as E)
  })

/** Opening a pipe or a device must not wait; for a regular file the flag means nothing. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK

const isAbsent = (cause: unknown): boolean => ["ENOENT", "ENOTDIR"].includes(errnoNameOf(cause))

/** Why the state file could not be opened. */
const openFailure = async (dir: string, cause: unknown): Promise<unknown> => {
  if (!isAbsent(cause)) return cause
  const isDirectory = await stat(dir).then(
    (stats) => stats.isDirectory(),
    (reason: unknown) => {
      if (isAbsent(reason)) return undefined
      throw reason
    },
  )
  if (isDirectory === true) {
    return new SnapshotIncomplete({ message: `${dir} is not a complete snapshot: it has no ${STATE_FILE}`, path: dir })
  }
  const what = isDirectory === undefined ? "there is no such directory" : "it is not a directory"
  return new SnapshotNotFound({ message: `there is no snapshot at ${dir}: ${what}`, path: dir, cause })
}

/** Bytes of `[start, start + length)` of a file, fewer where it ends before. */
const readRange = async (handle: FileHandle, start: number, length: number): Promise<Uint8Array> => {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, start + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

/** Opens the state file, checks that it is one and not too large, and closes it whatever happens. */
const withStateFile = async <A>(dir: string, use: (handle: FileHandle, size: number) => Promise<A>): Promise<A> => {
  const path = join(dir, STATE_FILE)
  const handle = await open(path, READ_FLAGS).catch(async (cause: unknown) => {
    throw await openFailure(dir, cause)
  })
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw new StateNotCryovm({ message: `${path} is not a regular file` })
    return await use(handle, stats.size)
  } finally {
    await handle.close()
  }
}

/** Header and manifest are hardly ever longer, and so are read at once: each read is a trip to another thread. */
const USUAL_HEAD_BYTES = 32 * 1024

const readHeaderOf = async (handle: FileHandle, size: number): Promise<StateHeader> =>
  readHeader(await readRange(handle, 0, Math.min(size, MAXIMUM_HEADER_BYTES)), size)

const readWhole = (dir: string): Promise<Uint8Array> =>
  withStateFile(dir, (handle, size) => {
    checkLimit("file", size, MAXIMUM_STATE_BYTES + MAXIMUM_HEADER_BYTES + MAXIMUM_DIGESTS_BYTES)
    return readRange(handle, 0, size)
  })

/** Reads the `state.cryo` of the bundle at `dir` as it is; nothing but its size is checked. At most 128 MiB are read. */
export const readStateBytes = (
  dir: string,
): Effect.Effect<
  Uint8Array,
  SnapshotIncomplete | SnapshotNotFound | SnapshotReadFailed | StateNotCryovm | StateTooLarge
> => reading(join(dir, STATE_FILE), () => readWhole(dir))

/** Reads and checks the whole `state.cryo` of the bundle at `dir`. At most 128 MiB are read. */
export const readStateFile = (dir: string): Effect.Effect<DecodedEnvelope, StateReadError> =>
  reading(join(dir, STATE_FILE), async () => decodeEnvelope(await readWhole(dir)))

/** Reads and checks the header alone: which snapshot it is, and of what lineage. */
export const readStateHeader = (dir: string): Effect.Effect<StateHeader, StateReadError> =>
  reading(join(dir, STATE_FILE), () => withStateFile(dir, readHeaderOf))

/** What a snapshot says of itself: all of its state file but the sections. */
export interface SnapshotHead {
  readonly dir: string
  readonly header: StateHeader
  readonly manifest: Manifest
}

/**
 * Reads header and manifest of the bundle at `dir`, and checks them and the size of the file. The sections are neither
 * read nor checked.
 */
export const readHead = (dir: string): Effect.Effect<SnapshotHead, StateReadError> =>
  reading(join(dir, STATE_FILE), () =>
    withStateFile(dir, async (handle, size) => {
      const beginning = await readRange(handle, 0, Math.min(size, USUAL_HEAD_BYTES))
      const header = readHeader(beginning, size)
      const { headerLength, manifestLength } = header
      const end = headerLength + manifestLength
      const manifest =
        end <= beginning.length
          ? beginning.subarray(headerLength, end)
          : await readRange(handle, headerLength, manifestLength)
      return { dir, header, manifest: decodeManifest(header, manifest) }
    }),
  )

/** The manifest of {@link readHead}. */
export const readManifest = (dir: string): Effect.Effect<Manifest, StateReadError> =>
  Effect.map(readHead(dir), ({ manifest }) => manifest)

const openAsync = promisify(openDescriptor)
const fstatAsync = promisify(fstat) as (descriptor: number) => Promise<Stats>
const closeAsync = promisify(close)

const memoryFileInvalid = (path: string, expectedBytes: number, actualBytes: number | undefined, what: string) =>
  new MemoryFileInvalid({
    message: `the memory file ${path} cannot be used: ${what}`,
    path,
    expectedBytes,
    actualBytes,
  })

/** Opens a regular file of so many bytes. Gives the descriptor, which is the caller's to close. */
const openSized = async (path: string, size: number, told: string): Promise<number> => {
  const descriptor = await openAsync(path, READ_FLAGS).catch((cause: unknown) => {
    throw isAbsent(cause) ? memoryFileInvalid(path, size, undefined, "it is not there") : cause
  })
  try {
    const stats = await fstatAsync(descriptor)
    if (!stats.isFile()) throw memoryFileInvalid(path, size, undefined, "it is not a regular file")
    if (stats.size !== size) {
      throw memoryFileInvalid(path, size, stats.size, `it has ${stats.size} bytes; ${told} ${size}`)
    }
    return descriptor
  } catch (cause) {
    await closeAsync(descriptor)
    throw cause
  }
}

/**
 * Opens the memory file of the bundle at `dir` read-only, and checks that it is a regular file of the size that the
 * manifest says. Gives the descriptor, which is the caller's to close; on failure none is left open.
 */
export const checkMemoryFile = (
  dir: string,
  manifest: Pick<Manifest, "memory">,
): Effect.Effect<number, MemoryFileInvalid | SnapshotReadFailed> => {
  const { name, size } = manifest.memory.file
  const path = join(dir, name)
  // Not interruptible: a descriptor opened for nobody would stay open.
  return Effect.uninterruptible(reading(path, () => openSized(path, size, "the manifest says")))
}

const closing = (descriptor: number): Effect.Effect<void> => Effect.promise(() => closeAsync(descriptor))

/** {@link checkMemoryFile} with a descriptor that is closed with the scope. */
export const openMemoryFile = (
  dir: string,
  manifest: Pick<Manifest, "memory">,
): Effect.Effect<number, MemoryFileInvalid | SnapshotReadFailed, Scope.Scope> =>
  Effect.acquireRelease(checkMemoryFile(dir, manifest), closing)

/** Opens a flat file of guest memory that is not part of a snapshot. Its descriptor is closed with the scope. */
export const openFlatFile = (
  path: string,
  size: number,
): Effect.Effect<number, MemoryFileInvalid | SnapshotReadFailed, Scope.Scope> =>
  Effect.acquireRelease(
    reading(path, () => openSized(path, size, "guest memory has")),
    closing,
  )
