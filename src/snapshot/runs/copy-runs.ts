/** Copies the pages of a diff to where they are in flat memory. */
import { read } from "node:fs"
import type { FileHandle } from "node:fs/promises"
import { promisify } from "node:util"
import * as Effect from "effect/Effect"
import type { NativeRuns } from "../../native.ts"
import { type SnapshotWriteFailed, toWriteFailed } from "../bundle/bundle.ts"
import { RUN_NUMBERS, ZEROS } from "./runs.ts"

const readAsync = promisify(read)

/** Most bytes that are copied at once, and between two looks whether to go on. */
const PIECE_BYTES = 2 ** 20

/** A part of a run, no larger than a piece. */
interface Piece {
  readonly offset: number
  readonly length: number
  /** `undefined` for zeros. */
  readonly fileOffset: number | undefined
}

function* piecesOf(runs: NativeRuns): Generator<Piece> {
  for (let at = 0; at < runs.length; at += RUN_NUMBERS) {
    const offset = runs[at]!
    const bytes = runs[at + 1]!
    const fileOffset = runs[at + 3]!
    for (let done = 0; done < bytes; done += PIECE_BYTES) {
      yield {
        offset: offset + done,
        length: Math.min(PIECE_BYTES, bytes - done),
        fileOffset: runs[at + 2] === ZEROS ? undefined : fileOffset + done,
      }
    }
  }
}

/** Pieces that are together about as large as one. */
function* batchesOf(pieces: Iterable<Piece>): Generator<readonly Piece[]> {
  let batch: Piece[] = []
  let bytes = 0
  for (const piece of pieces) {
    batch.push(piece)
    bytes += piece.length
    if (bytes < PIECE_BYTES) continue
    yield batch
    batch = []
    bytes = 0
  }
  yield batch
}

const fill = async (fd: number, buffer: Uint8Array, length: number, position: number): Promise<void> => {
  for (let done = 0; done < length; ) {
    const { bytesRead } = await readAsync(fd, buffer, done, length - done, position + done)
    if (bytesRead === 0) throw new Error("the memory file ends before its table says it does")
    done += bytesRead
  }
}

const put = async (to: FileHandle, buffer: Uint8Array, length: number, position: number): Promise<void> => {
  for (let done = 0; done < length; ) {
    const { bytesWritten } = await to.write(buffer, done, length - done, position + done)
    done += bytesWritten
  }
}

/**
 * Writes every run of a diff, zeros too, to its place in flat memory.
 * @param from descriptor of the diff's memory file
 * @param path of what is written to, for the error
 * @param onCopied told of the bytes that are done
 * @returns bytes written
 */
export const copyRuns = (
  from: number,
  runs: NativeRuns,
  to: FileHandle,
  path: string,
  onCopied: (bytes: number) => void,
): Effect.Effect<number, SnapshotWriteFailed> =>
  Effect.gen(function* () {
    const buffer = new Uint8Array(PIECE_BYTES)
    const zeros = new Uint8Array(PIECE_BYTES)
    const copy = async ({ offset, length, fileOffset }: Piece): Promise<void> => {
      if (fileOffset === undefined) return put(to, zeros, length, offset)
      await fill(from, buffer, length, fileOffset)
      return put(to, buffer, length, offset)
    }
    let copiedBytes = 0
    for (const batch of batchesOf(piecesOf(runs))) {
      const work = Effect.tryPromise({
        try: async () => {
          for (const piece of batch) await copy(piece)
        },
        catch: (cause) => toWriteFailed(path, cause),
      })
      // Not interruptible: neither descriptor may be closed while it is read or written.
      yield* Effect.uninterruptible(work)
      copiedBytes += batch.reduce((total, { length }) => total + length, 0)
      onCopied(copiedBytes)
    }
    return copiedBytes
  })
