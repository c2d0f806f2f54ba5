/** How a snapshot's memory gets into its file: what the guest has to stand still for, and what comes afterwards. */
import type { FileHandle } from "node:fs/promises"
import type * as Effect from "effect/Effect"
import type { GuestRange, MappedGuestMemory } from "../../memory/guest-memory.ts"
import type { KvmError } from "../../native.ts"
import type { Manifest } from "../../state/manifest.ts"
import type { SnapshotWriteFailed } from "../bundle/bundle.ts"
import type { DumpProgress } from "../progress.ts"
import type { SnapshotTracking } from "./memory-history.ts"

/** A file that is being written. */
export interface MemoryFile {
  readonly path: string
  readonly handle: FileHandle
}

/** Memory that is in its file, all of it. */
export interface WrittenMemory {
  readonly layout: Manifest["memory"]
  /** Of the file, in chunks of `DIGEST_CHUNK_BYTES`. */
  readonly digests: Uint8Array
  /** Bytes of guest memory in the file. */
  readonly writtenBytes: number
  /** Pages that the file tells of: those in it, and those that it says have become zero. */
  readonly pages: number
}

export interface MemoryWriter {
  /** Name of the file in the bundle. */
  readonly fileName: string
  /** How it knows what changed, where it writes that alone. */
  readonly tracking: SnapshotTracking | undefined
  /** Writes the pages to the empty file, while the machine is paused. Gives what is left to do when it runs again. */
  readonly dump: (
    file: MemoryFile,
    memory: MappedGuestMemory,
    onProgress: (progress: DumpProgress) => void,
  ) => Effect.Effect<Effect.Effect<WrittenMemory, SnapshotWriteFailed>, SnapshotWriteFailed | KvmError>
}

/** Guest memory flat: regions behind each other, in the order of their addresses. */
export const flatMemory = (ranges: readonly GuestRange[]): Pick<Manifest["memory"], "regions" | "size"> => {
  let size = 0
  const regions = ranges.map((range) => {
    const fileOffset = size
    size += range.size
    return { guestAddress: range.guestAddress, size: range.size, fileOffset }
  })
  return { regions, size }
}
