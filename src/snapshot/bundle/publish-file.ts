/** Publishing one file: whole and durable under its name, or not there at all. */
import { type FileHandle, link, lstat, open, rename } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { errnoNameOf, SnapshotExists, type SnapshotWriteFailed, toWriteFailed } from "./errors.ts"
import { removeTree, sweepTemporaries } from "./temporary.ts"
import { existsError, makeTemporary, type PublishError, type PublishOptions, sync, writing } from "./writer.ts"

/** Name of the file while it is written, in a temporary directory of its own. */
const UNFINISHED = "unfinished"

/** Only a regular file is ever replaced, and only when that was asked for. */
const checkPlace = async (target: string, overwrite: boolean): Promise<void> => {
  const stats = await lstat(target).catch((cause: unknown) => {
    if (errnoNameOf(cause) === "ENOENT") return undefined
    throw cause
  })
  if (stats === undefined || (overwrite && stats.isFile())) return
  throw existsError(target, overwrite ? " and is not a regular file: it is left as it is" : "")
}

/** A hard link fails where something is already; a rename replaces it. */
const moveIn = async (finished: string, target: string, overwrite: boolean): Promise<void> => {
  await checkPlace(target, overwrite)
  if (overwrite) await rename(finished, target)
  else {
    await link(finished, target).catch((cause: unknown) => {
      throw errnoNameOf(cause) === "EEXIST" ? existsError(target, "") : cause
    })
  }
  await sync(dirname(target))
}

const publishing = (target: string, operation: () => Promise<void>): Effect.Effect<void, PublishError> =>
  Effect.tryPromise({
    try: operation,
    catch: (cause) => (cause instanceof SnapshotExists ? cause : toWriteFailed(target, cause)),
  })

/** A new file, mode 0600, closed again whatever happens. */
export const withNewFile = <A, E, R>(
  path: string,
  use: (file: FileHandle) => Effect.Effect<A, E, R>,
): Effect.Effect<A, E | SnapshotWriteFailed, R> =>
  Effect.acquireUseRelease(
    writing(path, () => open(path, "wx", 0o600)),
    use,
    (file) => Effect.promise(() => file.close()),
  )

/**
 * Publishes a file as `publishBundle` publishes a directory: `write` fills a temporary one beside it (mode 0600), which
 * is fsynced and moved to its name. On failure or interruption nothing of it stays; after a kill, a later publish into
 * the same directory removes what is left. With `overwrite`, a regular file that is there already is replaced, at once.
 */
export const publishFile = <A, E, R>(
  path: string,
  write: (file: FileHandle, temporary: string) => Effect.Effect<A, E, R>,
  options: PublishOptions = {},
): Effect.Effect<A, E | PublishError, R> =>
  Effect.gen(function* () {
    const target = resolve(path)
    const overwrite = options.overwrite === true
    yield* Effect.promise(() => sweepTemporaries(dirname(target)))
    yield* publishing(target, () => checkPlace(target, overwrite))
    return yield* Effect.acquireUseRelease(
      makeTemporary(target),
      (directory) =>
        Effect.gen(function* () {
          const unfinished = join(directory, UNFINISHED)
          const result = yield* withNewFile(unfinished, (file) => write(file, unfinished))
          yield* writing(unfinished, () => sync(unfinished))
          yield* Effect.uninterruptible(publishing(target, () => moveIn(unfinished, target, overwrite)))
          return result
        }),
      (directory) => Effect.promise(() => removeTree(directory).catch(() => undefined)),
    )
  })
