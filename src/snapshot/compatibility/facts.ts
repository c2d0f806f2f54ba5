/** What is true, on this host, of a snapshot's files and of the files that it needs. */
import { readdir, stat } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { readManifest } from "../bundle.ts"
import type { SnapshotNeeds } from "./needs.ts"

/** A file that was looked for: what it is, or that it is not there. */
export type FileFact = { readonly size: number; readonly modified: string } | "missing"

export interface SnapshotFacts {
  readonly memoryFile: FileFact
  /** By path. */
  readonly resources: ReadonlyMap<string, FileFact>
  /** Whether the parent is among the snapshots beside this one; `undefined` for one without a parent. */
  readonly parentFound: boolean | undefined
}

const lookAt = (path: string): Promise<FileFact> =>
  stat(path).then(
    ({ size, mtime }) => ({ size, modified: mtime.toISOString() }),
    // One that may not be looked at is none that can be used.
    () => "missing" as const,
  )

const isBeside = (dir: string, id: string): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const shelf = dirname(resolve(dir))
    const names = yield* Effect.promise(() => readdir(shelf).catch((): string[] => []))
    const ids = yield* Effect.forEach(
      names,
      // What is not a snapshot, or cannot be read, is not the one.
      (name) =>
        Effect.orElseSucceed(
          Effect.map(readManifest(join(shelf, name)), (manifest) => manifest.id),
          () => "",
        ),
      { concurrency: 8 },
    )
    return ids.includes(id)
  })

export const gatherFacts = (dir: string, needs: SnapshotNeeds): Effect.Effect<SnapshotFacts> =>
  Effect.gen(function* () {
    const paths = [...new Set(needs.resources.map(({ path }) => path))]
    const found = yield* Effect.promise(() =>
      Promise.all(paths.map(async (path) => [path, await lookAt(path)] as const)),
    )
    return {
      memoryFile: yield* Effect.promise(() => lookAt(join(dir, needs.memoryFile.name))),
      resources: new Map(found),
      parentFound: needs.parent === null ? undefined : yield* isBeside(dir, needs.parent.id),
    }
  })
