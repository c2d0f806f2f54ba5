/** The memory of a snapshot as one flat file, for other programs. */
import type { FileHandle } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { mapMemories } from "../../memory/map-memory.ts"
import { type KvmError, loadNative, type NativeRuns } from "../../native.ts"
import { type SnapshotWriteFailed, toDumpFailed, toWriteFailed } from "../bundle/bundle.ts"
import { publishFile } from "../bundle/publish-file.ts"
import { type Chain, type ChainLink, openChain } from "../chain/chain.ts"
import type { StepProgress } from "../progress.ts"
import { copyRuns } from "../runs/copy-runs.ts"
import { RUN_NUMBERS } from "../runs/runs.ts"
import { dumpMemory } from "../save/dump-memory.ts"
import { checkPlace } from "../save/parent.ts"
import { type OperationOptions, verifySources } from "./operation.ts"

/** The changes of a snapshot were asked for that is a difference to none. */
export class SnapshotNotDiff extends Data.TaggedError("SnapshotNotDiff")<{
  readonly message: string
  readonly dir: string
}> {
  readonly code = "CRYOVM_SNAPSHOT_NOT_DIFF"
}

export interface ExportOptions extends OperationOptions {
  /**
   * Of a diff: only the pages that it changed. Those that became zero are zeros in the file, not holes; everything else
   * is a hole. (Where the blocks of the file system are larger than a page, so are the parts that are no holes.)
   */
  readonly changesOnly?: boolean
}

/** Memory that was written to a file. */
export interface ExportedMemory {
  /** Absolute path. */
  readonly file: string
  /** Size of the file: that of guest memory. */
  readonly memoryBytes: number
  /** Bytes that were written; the rest are holes. */
  readonly writtenBytes: number
}

const notDiff = (dir: string) =>
  new SnapshotNotDiff({
    message: `${dir} is a full snapshot: it changed nothing, for it is a difference to none; export all of its memory`,
    dir,
  })

/** The newest snapshot of a chain and its runs. */
const newestDiff = (dir: string, links: readonly ChainLink[]) => {
  const newest = links.at(-1)
  return newest?.runs === undefined ? Effect.fail(notDiff(dir)) : Effect.succeed({ fd: newest.fd, runs: newest.runs })
}

const bytesOf = (runs: NativeRuns): number => {
  let bytes = 0
  for (let at = 1; at < runs.length; at += RUN_NUMBERS) bytes += runs[at] as number
  return bytes
}

/** What is to be written, once its file is there. */
type Write = (
  file: FileHandle,
  path: string,
  progress: StepProgress,
) => Effect.Effect<number, SnapshotWriteFailed | KvmError, Scope.Scope>

const writeChanges =
  (fd: number, runs: NativeRuns): Write =>
  (file, path, progress) =>
    copyRuns(fd, runs, file, path, progress.at)

const writeWhole =
  ({ links, memories }: Chain): Write =>
  (file, path, progress) =>
    Effect.gen(function* () {
      const mapped = yield* mapMemories(loadNative(), memories)
      const places = links.at(-1)!.manifest.memory.regions
      const regions = mapped.map((memory, index) => ({ memory, fileOffset: places[index]!.fileOffset }))
      const { writtenBytes } = yield* dumpMemory(file.fd, regions, ({ doneBytes }) => progress.at(doneBytes)).pipe(
        Effect.mapError((error) => toDumpFailed(path, error)),
      )
      return writtenBytes
    })

/**
 * Writes the memory of a snapshot to a flat, sparse file: of a diff the whole content, with that of all that it is a
 * difference to, unless `changesOnly`. The file is as long as guest memory: what is above 4 GiB lies right behind what is
 * below 3 GiB, as in the memory files of Firecracker; a file with `changesOnly` is like those of its diff snapshots.
 * The file appears whole or not at all.
 */
export const exportMemory = (dir: string, file: string, options: ExportOptions = {}) =>
  Effect.gen(function* () {
    const target = resolve(file)
    const chain = yield* openChain(dir, options)
    const { links } = chain
    const memoryBytes = links.at(-1)!.manifest.memory.size
    const changes = options.changesOnly === true ? yield* newestDiff(dir, links) : undefined
    // A file of one of the snapshots, or beside those, is none to be written to.
    yield* checkPlace("file", dirname(target), links)
    const bytes = changes === undefined ? memoryBytes : bytesOf(changes.runs)
    const progress = yield* verifySources([{ dir, links }], bytes, options)
    const write = changes === undefined ? writeWhole(chain) : writeChanges(changes.fd, changes.runs)
    const writtenBytes = yield* publishFile(
      target,
      (handle, path) =>
        Effect.andThen(
          Effect.tryPromise({
            try: () => handle.truncate(memoryBytes),
            catch: (cause) => toWriteFailed(path, cause),
          }),
          write(handle, path, progress),
        ),
      { overwrite: options.overwrite === true },
    )
    return { file: target, memoryBytes, writtenBytes } satisfies ExportedMemory
  }).pipe(Effect.scoped)
