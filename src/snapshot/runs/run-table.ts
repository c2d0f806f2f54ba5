/** Reading the table of runs out of an open memory file. */
import { read } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import type { NativeRuns } from "../../native.ts"
import { type SnapshotHead, SnapshotReadFailed } from "../bundle/bundle.ts"
import { errnoNameOf } from "../bundle/errors.ts"
import { checkRunTableLayout, decodeRunTable, MemoryDiffInvalid, runTableBytes } from "./memory-diff.ts"

const readAsync = promisify(read)

/** Fewer bytes where the file ends before. */
const readFrom = async (fd: number, start: number, length: number): Promise<Uint8Array> => {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await readAsync(fd, bytes, filled, length - filled, start + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

/**
 * What a diff changed, from its memory file; `undefined` for a full snapshot.
 * @param fd of the memory file, whose size is the one of the manifest
 */
export const readRunTable = (
  { dir, manifest: { memory } }: SnapshotHead,
  fd: number,
): Effect.Effect<NativeRuns | undefined, MemoryDiffInvalid | SnapshotReadFailed> => {
  const { diff, size: memoryBytes, file } = memory
  if (diff === null) return Effect.succeed(undefined)
  const path = join(dir, file.name)
  const layout = { ...diff, memoryBytes }
  const attempt = Effect.tryPromise({
    try: async () => {
      checkRunTableLayout(layout, file.size, path)
      return decodeRunTable(await readFrom(fd, diff.tableOffset, runTableBytes(diff.runs)), layout, path)
    },
    catch: (cause) => {
      if (cause instanceof MemoryDiffInvalid) return cause
      const message = `cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`
      return new SnapshotReadFailed({ message, path, errnoName: errnoNameOf(cause), cause })
    },
  })
  // Not interruptible: the descriptor must not be closed, and given to somebody else, while a read of it is under way.
  return Effect.uninterruptible(attempt)
}
