/** `memory.diff`, the memory of a diff snapshot: the pages that changed, packed, and behind them a table of their runs. */
import type { FileHandle } from "node:fs/promises"
import * as Effect from "effect/Effect"
import { loadNative } from "../../native.ts"
import { type SnapshotWriteFailed, toDumpFailed, toWriteFailed } from "../bundle/bundle.ts"
import { DIFF_FILE, DIGEST_CHUNK_BYTES, encodeRunTable, MAXIMUM_RUNS } from "../runs/memory-diff.ts"
import { PAGE_BYTES, RUN_NUMBERS } from "../runs/runs.ts"
import { type DumpedDiff, dumpDiff } from "./dump-diff.ts"
import { flatMemory, type MemoryFile, type MemoryWriter, type WrittenMemory } from "./memory-writer.ts"
import type { Changes } from "./parent.ts"

const writeAt = async (handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> => {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

/** A chain with more could not be opened. */
const checkRunsOfChain = (runs: number): void => {
  if (runs <= MAXIMUM_RUNS) return
  throw new Error(
    `the chain would have ${runs} runs of changed pages, and ${MAXIMUM_RUNS} are possible: take a full snapshot`,
  )
}

const finish = (
  { path, handle }: MemoryFile,
  { regions, size }: ReturnType<typeof flatMemory>,
  { runs, writtenBytes, zeroBytes, tableOffset, digests }: DumpedDiff,
  runsOfParents: number,
): Effect.Effect<WrittenMemory, SnapshotWriteFailed> =>
  Effect.tryPromise({
    try: async () => {
      checkRunsOfChain(runsOfParents + runs.length / RUN_NUMBERS)
      const table = encodeRunTable(runs, size)
      await writeAt(handle, table, tableOffset)
      return {
        layout: {
          regions,
          size,
          file: { name: DIFF_FILE, size: tableOffset + table.length },
          diff: { tableOffset, runs: runs.length / RUN_NUMBERS },
        },
        digests: new Uint8Array(Buffer.concat([digests, loadNative().digest(table, DIGEST_CHUNK_BYTES)])),
        writtenBytes,
        pages: (writtenBytes + zeroBytes) / PAGE_BYTES,
      }
    },
    catch: (cause) => toWriteFailed(path, cause),
  })

/**
 * What changed since the parent.
 * @param runsOfParents how many its chain has
 */
export const changedMemory = (changes: Changes, runsOfParents: number): MemoryWriter => ({
  fileName: DIFF_FILE,
  tracking: changes.tracking,
  dump: (file, memory, onProgress) =>
    Effect.gen(function* () {
      const flat = flatMemory(memory.regions)
      const candidates = changes.candidates()
      const regions = memory.regions.map((region, index) => ({
        memory: region.memory,
        flatOffset: flat.regions[index]!.fileOffset,
        candidates: candidates[index]!,
        baseline: changes.baselines[index],
      }))
      const dumped = yield* dumpDiff(file.handle.fd, regions, onProgress).pipe(
        Effect.mapError((error) => toDumpFailed(file.path, error)),
      )
      return finish(file, flat, dumped, runsOfParents)
    }),
})
