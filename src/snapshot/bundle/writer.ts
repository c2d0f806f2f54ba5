/** Publishing a snapshot's directory: whole and durable under its name, or not there at all. */
import { constants } from "node:fs"
import { lstat, mkdir, open, readdir, rename } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { loadNative, toKvmError } from "../../native.ts"
import { errnoNameOf, SnapshotExists, SnapshotWriteFailed, toWriteFailed } from "./errors.ts"
import { asidePath, removeTree, sweepTemporaries, temporaryPath } from "./temporary.ts"

/** Name of the state file in a bundle. */
export const STATE_FILE = "state.cryo"
/** Name of a full snapshot's memory file in a bundle. */
export const MEMORY_FILE = "memory.img"

export interface PublishOptions {
  /** Replace a snapshot that is already there. */
  readonly overwrite?: boolean
}

/** What publishing itself can fail with. */
export type PublishError = SnapshotExists | SnapshotWriteFailed

/** A file operation on `path` whose failure is a {@link SnapshotWriteFailed}. */
export const writing = <A>(path: string, operation: () => Promise<A>): Effect.Effect<A, SnapshotWriteFailed> =>
  Effect.tryPromise({ try: operation, catch: (cause) => toWriteFailed(path, cause) })

export const existsError = (path: string, what: string) =>
  new SnapshotExists({ message: `${path} exists already${what}`, path })

/** What is at a path: nothing, an empty directory (as good as nothing), a snapshot, or anything else. */
const occupant = async (path: string): Promise<"nothing" | "snapshot" | "other"> => {
  const stats = await lstat(path).catch((cause: unknown) => {
    if (errnoNameOf(cause) === "ENOENT") return undefined
    throw cause
  })
  if (stats === undefined) return "nothing"
  if (!stats.isDirectory()) return "other"
  const names = await readdir(path)
  if (names.length === 0) return "nothing"
  return names.includes(STATE_FILE) ? "snapshot" : "other"
}

const checkFree = (target: string, overwrite: boolean): Effect.Effect<void, PublishError> =>
  Effect.flatMap(
    writing(target, () => occupant(target)),
    (found) => {
      if (found === "nothing" || (found === "snapshot" && overwrite)) return Effect.void
      const what = overwrite ? " and is not a snapshot: it is left as it is" : ""
      return Effect.fail(existsError(target, what))
    },
  )

/** Makes what is at a path durable. */
export const sync = async (path: string): Promise<void> => {
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } catch (cause) {
    throw toWriteFailed(path, cause)
  } finally {
    await handle.close()
  }
}

/** Makes a directory durable: every regular file below it, then the directories, the innermost first. */
const syncTree = async (directory: string): Promise<void> => {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await syncTree(path)
    else if (entry.isFile()) await sync(path)
  }
  await sync(directory)
}

/** The new snapshot takes the place of the old one at once. False where the file system cannot do that. */
const exchange = async (temporary: string, target: string, aside: string): Promise<boolean> => {
  try {
    loadNative().exchangePaths(temporary, target)
  } catch (cause) {
    const error = toKvmError(cause)
    if (["EINVAL", "ENOSYS"].includes(error.errnoName)) return false
    throw error
  }
  // What is under the temporary name is removed when anything fails, and the old one must not be before the exchange is
  // durable.
  await rename(temporary, aside)
  return true
}

/** The old snapshot, where there is one, is moved out of the way first. */
const renameIn = async (temporary: string, target: string, aside: string | undefined): Promise<void> => {
  if (aside !== undefined) await rename(target, aside)
  try {
    await rename(temporary, target)
  } catch (cause) {
    if (aside !== undefined) await rename(aside, target)
    if (["ENOTEMPTY", "EEXIST", "ENOTDIR"].includes(errnoNameOf(cause))) throw existsError(target, "")
    throw cause
  }
}

/** Moves the finished directory under its name, in the place of an old snapshot or of nothing. */
const moveIn = async (temporary: string, target: string, overwrite: boolean): Promise<void> => {
  const replaced = overwrite && (await occupant(target)) === "snapshot"
  const aside = replaced ? asidePath(temporary) : undefined
  if (aside === undefined || !(await exchange(temporary, target, aside))) await renameIn(temporary, target, aside)
  await sync(dirname(target))
  // The new snapshot is durable; an old one that cannot be removed is left to a later publish.
  if (aside !== undefined) await removeTree(aside).catch(() => undefined)
}

const commit = (temporary: string, target: string, overwrite: boolean): Effect.Effect<void, PublishError> =>
  Effect.tryPromise({
    try: () => moveIn(temporary, target, overwrite),
    catch: (cause) => (cause instanceof SnapshotExists ? cause : toWriteFailed(target, cause)),
  })

/**
 * Publishes a directory: `write` fills a temporary directory beside `dir` (mode 0700, which the published one keeps),
 * all of it is fsynced, and it is renamed to `dir`, whose parent is fsynced. The parent has to exist. On failure or
 * interruption the temporary directory is removed; after a kill, by a later publish into the same parent (see
 * `temporary.ts` for when).
 *
 * Guaranteed: whoever looks under `dir` finds a complete snapshot or none, at any moment and after a kill or a loss of
 * power at any moment. Once this succeeds, the snapshot is durable. Should the very last step fail, the fsync of the
 * parent, the snapshot is visible and complete, but may be gone after a loss of power; that is reported as a failure.
 *
 * With `overwrite`, a snapshot at `dir` stays until the new one is complete and durable, and then changes places with it
 * at once: whoever looks finds the old one or the new one. The old one is then removed; if the process is killed before
 * that, by a later publish. Processes that have files of it open or mapped keep them. Only a directory with a
 * `state.cryo` is ever replaced.
 *
 * A few file systems cannot exchange two names. There the old snapshot is moved aside and the new one moved in; for the
 * moment in between, nothing is under the name. If the second rename fails, the old snapshot is put back. If the process
 * is killed or the power lost in between, the old one is complete beside it as `.<name>.cryovm-<pid>-<hex>.old`, and a
 * later publish into the parent puts it back: the next one after a kill; after a reboot, or from another container, the
 * next one that comes an hour later.
 *
 * An empty directory at `dir` counts as none. Errors: {@link SnapshotExists}, before `write` is run (or, where
 * somebody else published there meanwhile, after); {@link SnapshotWriteFailed}; whatever `write` fails with.
 */
export const publishBundle = <A, E, R>(
  dir: string,
  write: (temporaryDir: string) => Effect.Effect<A, E, R>,
  options: PublishOptions = {},
): Effect.Effect<A, E | PublishError, R> =>
  Effect.gen(function* () {
    const target = resolve(dir)
    const overwrite = options.overwrite === true
    yield* Effect.promise(() => sweepTemporaries(dirname(target)))
    yield* checkFree(target, overwrite)
    return yield* Effect.acquireUseRelease(
      makeTemporary(target),
      (temporary) =>
        Effect.gen(function* () {
          const result = yield* write(temporary)
          yield* writing(temporary, () => syncTree(temporary))
          yield* Effect.uninterruptible(commit(temporary, target, overwrite))
          return result
        }),
      (temporary, exit) =>
        // After an interruption right behind the commit there is nothing left under the temporary name.
        Exit.isSuccess(exit) ? Effect.void : Effect.promise(() => removeTree(temporary).catch(() => undefined)),
    )
  })

/** Makes a temporary directory beside `target`, which a later writer removes if this one is killed. */
export const makeTemporary = (target: string): Effect.Effect<string, SnapshotWriteFailed> => {
  const temporary = temporaryPath(target)
  return Effect.as(
    writing(target, () => mkdir(temporary, { mode: 0o700 })),
    temporary,
  )
}

/**
 * Writes one small file into a bundle under construction, mode 0600. Large ones are written through a descriptor of
 * the caller's. Does not fsync: publishing does.
 * @param name a plain file name
 */
export const writeBundleFile = (
  temporaryDir: string,
  name: string,
  bytes: Uint8Array,
): Effect.Effect<void, SnapshotWriteFailed> => {
  const path = join(temporaryDir, name)
  if (name !== basename(name)) {
    return Effect.fail(
      new SnapshotWriteFailed({ message: `cannot write ${path}: ${name} is not a plain name`, path, errnoName: "" }),
    )
  }
  return writing(path, async () => {
    const handle = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      await handle.writeFile(bytes)
    } finally {
      await handle.close()
    }
  })
}
