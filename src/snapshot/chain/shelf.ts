/** A folder of snapshots, told from their headers alone. */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { StateHeader } from "../../state/envelope-header.ts"
import { readStateHeader, type StateReadError } from "../bundle/bundle.ts"
import { errnoNameOf, SnapshotReadFailed } from "../bundle/errors.ts"
import { isTemporaryName } from "../bundle/temporary.ts"

/** A snapshot's directory: its header, or why that cannot be read. */
export interface ShelfEntry {
  readonly dir: string
  readonly header: Result.Result<StateHeader, StateReadError>
}

/** How many headers are read at once: each takes some calls in libuv's four threads. */
const CONCURRENCY = 8

export const readEntry = (dir: string): Effect.Effect<ShelfEntry> =>
  Effect.map(Effect.result(readStateHeader(dir)), (header) => ({ dir, header }))

/** A directory without a state file is none of a snapshot. */
const isSnapshot = ({ header }: ShelfEntry): boolean =>
  Result.isSuccess(header) || !["SnapshotIncomplete", "SnapshotNotFound"].includes(header.failure._tag)

/** The snapshots in a folder by name, also those that cannot be read. Of each, at most 4 KiB are read. */
export const readShelf = (folder: string): Effect.Effect<readonly ShelfEntry[], SnapshotReadFailed> =>
  Effect.gen(function* () {
    const names = yield* Effect.tryPromise({
      try: () => readdir(folder),
      catch: (cause) =>
        new SnapshotReadFailed({
          message: `cannot read the folder ${folder}: ${cause instanceof Error ? cause.message : String(cause)}`,
          path: folder,
          errnoName: errnoNameOf(cause),
          cause,
        }),
    })
    const dirs = names
      .filter((name) => !isTemporaryName(name))
      .sort()
      .map((name) => join(folder, name))
    const entries = yield* Effect.forEach(dirs, readEntry, { concurrency: CONCURRENCY })
    return entries.filter(isSnapshot)
  })
