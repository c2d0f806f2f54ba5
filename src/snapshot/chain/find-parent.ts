/**
 * Where the parent of a diff snapshot is: told by the digest of its header and by nothing else, so that a directory may
 * be moved and renamed, and one that was changed is never taken.
 */
import { realpath } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { readHead, type SnapshotHead } from "../bundle/bundle.ts"
import { ParentMismatch, ParentMissing, ParentUnreadable } from "./errors.ts"
import { readEntry, readShelf, type ShelfEntry } from "./shelf.ts"

/** Why a parent cannot be used. */
export type ParentError = ParentMismatch | ParentMissing | ParentUnreadable

/** Finds parents. Each folder is read once for all that are looked for. */
export type FindParent = (child: SnapshotHead) => Effect.Effect<SnapshotHead, ParentError>

type Reference = NonNullable<SnapshotHead["manifest"]["parent"]>

/** One place that was looked at: the snapshots there, and how to tell of it. */
interface Place {
  readonly entries: readonly ShelfEntry[]
  readonly found: string
}

const isWanted = ({ header }: ShelfEntry, { digest }: Reference): boolean =>
  Result.isSuccess(header) && header.success.digest === digest

const describeEntry = ({ dir, header }: ShelfEntry): string => {
  if (Result.isSuccess(header)) return `${dir} (another snapshot)`
  const { _tag, message } = header.failure
  if (_tag === "SnapshotNotFound") return `${dir} (nothing is there)`
  return _tag === "SnapshotIncomplete" ? `${dir} (no snapshot)` : `${dir} (cannot be read: ${message})`
}

/** Where a directory is, also by its name without symbolic links. */
const foldersOf = (dir: string): Effect.Effect<readonly string[]> =>
  Effect.promise(async () => {
    const path = resolve(dir)
    const real = await realpath(path).catch(() => path)
    return [...new Set([dirname(path), dirname(real)])]
  })

const mismatch = ({ dir }: SnapshotHead, { id, digest }: Reference, parentDir: string, actualDigest: string) =>
  new ParentMismatch({
    message: `${parentDir} is not what the parent of ${dir} was: snapshot ${id} was changed or replaced since (the digest of its header is ${actualDigest}, not ${digest}); put the original back`,
    dir,
    parentDir,
    expectedDigest: digest,
    actualDigest,
  })

const missing = ({ dir }: SnapshotHead, { id, digest }: Reference, places: readonly Place[]) => {
  const lookedAt = places.map(({ found }) => found)
  return new ParentMissing({
    message: `the parent of ${dir} is missing: snapshot ${id}; looked at ${lookedAt.join(", ")}; put it beside ${dir}, or tell where it is (parents)`,
    dir,
    parentId: id,
    parentDigest: digest,
    lookedAt,
  })
}

/** All of the parent but its state; it may have been changed since it was found. */
const readParent = (child: SnapshotHead, parent: Reference, dir: string): Effect.Effect<SnapshotHead, ParentError> =>
  Effect.gen(function* () {
    const head = yield* readHead(dir).pipe(
      Effect.mapError(
        (cause) =>
          new ParentUnreadable({
            message: `the parent of ${child.dir}, ${dir}, cannot be read: ${cause.message}`,
            dir: child.dir,
            parentDir: dir,
            cause,
          }),
      ),
    )
    return head.header.digest === parent.digest ? head : yield* mismatch(child, parent, dir, head.header.digest)
  })

/** Nearly every parent is still beside its child under its name: then nothing but itself is looked at, and once. */
const whereItWas = ({ dir }: SnapshotHead, { name, digest }: Reference): Effect.Effect<SnapshotHead | undefined> =>
  name === undefined
    ? Effect.succeed(undefined)
    : Effect.match(readHead(join(dirname(resolve(dir)), name)), {
        onFailure: () => undefined,
        onSuccess: (head) => (head.header.digest === digest ? head : undefined),
      })

/** The id of a snapshot, which older formats have in the manifest only; `undefined` where it cannot be read. */
const idOf = ({ dir, header }: ShelfEntry): Effect.Effect<string | undefined> => {
  if (Result.isFailure(header)) return Effect.succeed(undefined)
  const { lineage } = header.success
  if (lineage !== undefined) return Effect.succeed(lineage.id)
  return Effect.match(readHead(dir), {
    onFailure: () => undefined,
    onSuccess: ({ manifest }) => manifest.id.toLowerCase(),
  })
}

/** What it fails with: the first snapshot of the parent's id that is another one is told of. */
const notFound = (
  child: SnapshotHead,
  parent: Reference,
  places: readonly Place[],
): Effect.Effect<never, ParentError> =>
  Effect.gen(function* () {
    for (const entry of places.flatMap(({ entries }) => entries)) {
      if (Result.isSuccess(entry.header) && (yield* idOf(entry)) === parent.id.toLowerCase()) {
        return yield* mismatch(child, parent, entry.dir, entry.header.success.digest)
      }
    }
    return yield* missing(child, parent, places)
  })

/**
 * @param parents directories of snapshots, or of folders with snapshots in them, that are looked at first; then come the
 *   directory beside the snapshot that has the recorded name, and all others beside it
 */
export const parentFinder = (parents: readonly string[] = []): FindParent => {
  const folders = new Map<string, Place>()

  const inFolder = (folder: string): Effect.Effect<Place> =>
    Effect.gen(function* () {
      const known = folders.get(folder)
      if (known !== undefined) return known
      const place = yield* Effect.match(readShelf(folder), {
        onFailure: () => ({ entries: [], found: `${folder} (no folder that can be read)` }),
        onSuccess: (entries) => ({
          entries,
          found: `${folder} (a folder with ${entries.length} snapshot${entries.length === 1 ? "" : "s"})`,
        }),
      })
      folders.set(folder, place)
      return place
    })

  const at = (dir: string): Effect.Effect<Place> =>
    Effect.map(readEntry(dir), (entry) => ({ entries: [entry], found: describeEntry(entry) }))

  const named = (path: string): Effect.Effect<Place> =>
    Effect.flatMap(at(path), (place) => {
      const isFolder = place.entries.some(
        ({ header }) => Result.isFailure(header) && header.failure._tag === "SnapshotIncomplete",
      )
      return isFolder ? inFolder(path) : Effect.succeed(place)
    })

  return (child) =>
    Effect.gen(function* () {
      const { parent } = child.manifest
      if (parent === null) return yield* Effect.die(`${child.dir} is a full snapshot and has no parent`)
      if (parents.length === 0) {
        const beside = yield* whereItWas(child, parent)
        if (beside !== undefined) return beside
      }
      const { name } = parent
      const shelves = yield* foldersOf(child.dir)
      const looks = [
        ...parents.map((path) => named(resolve(path))),
        ...(name === undefined ? [] : shelves.map((shelf) => at(join(shelf, name)))),
        ...shelves.map(inFolder),
      ]
      const places: Place[] = []
      for (const look of looks) {
        const place = yield* look
        const entry = place.entries.find((each) => isWanted(each, parent))
        if (entry !== undefined) return yield* readParent(child, parent, entry.dir)
        places.push(place)
      }
      return yield* notFound(child, parent, places)
    })
}
