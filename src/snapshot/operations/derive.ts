/** A new snapshot with the state of one that is there, and with memory that is written anew. */
import { randomUUID } from "node:crypto"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { makeGuestMemory } from "../../memory/guest-memory.ts"
import type { KvmError, NativeMemory } from "../../native.ts"
import type { Section } from "../../state/envelope.ts"
import type { Manifest } from "../../state/manifest.ts"
import { packageVersion } from "../../version.ts"
import { publishBundle, type SnapshotExists, type SnapshotWriteFailed } from "../bundle/bundle.ts"
import { withNewFile } from "../bundle/publish-file.ts"
import type { StepProgress } from "../progress.ts"
import type { MemoryWriter } from "../save/memory-writer.ts"
import { writeStateFile } from "../save/state-file.ts"

/** A snapshot that was made from others, on disk and whole. */
export interface DerivedSnapshotInfo {
  readonly id: string
  /** Absolute path. */
  readonly dir: string
  readonly type: Manifest["type"]
  /** ISO 8601, UTC. */
  readonly createdAt: string
  /** Size of the guest's memory, in bytes. */
  readonly memoryBytes: number
  /** Bytes of it in the memory file. */
  readonly writtenBytes: number
  /** Pages of 4,096 bytes that the memory file tells of: those in it, and of a diff those that became zero. */
  readonly pages: number
  /** Size of `state.cryo`, in bytes. */
  readonly stateBytes: number
  /** Milliseconds for the memory, and in all with everything durable on disk; without what was verified before. */
  readonly milliseconds: { readonly memory: number; readonly total: number }
}

/** What a new snapshot is made of. */
export interface Derivation {
  /** The snapshot whose state it has. */
  readonly source: { readonly manifest: Manifest; readonly sections: readonly Section[] }
  /** `null` for a full snapshot. */
  readonly parent: Manifest["parent"]
  readonly writer: MemoryWriter
  /** One mapping for each region of the source. */
  readonly memories: readonly NativeMemory[]
  /** Its directory. */
  readonly out: string
  readonly options: { readonly overwrite?: boolean }
  /** Its step is the memory. */
  readonly progress: StepProgress
}

const manifestOf = ({ source, parent }: Derivation, memory: Manifest["memory"]): Manifest => ({
  ...source.manifest,
  producer: { name: "cryovm", version: packageVersion },
  createdAt: new Date().toISOString(),
  id: randomUUID(),
  type: parent === null ? "full" : "diff",
  memory,
  parent,
})

const writeMemory = ({ source, writer, memories, progress }: Derivation, path: string) => {
  const regions = source.manifest.memory.regions.map(({ guestAddress, size }, index) => ({
    guestAddress,
    size,
    memory: memories[index]!,
  }))
  return withNewFile(path, (handle) =>
    Effect.flatten(writer.dump({ path, handle }, makeGuestMemory(regions), ({ doneBytes }) => progress.at(doneBytes))),
  )
}

/** Writes the snapshot; nothing is visible under its name until all of it is durable. */
export const writeDerived = (
  derivation: Derivation,
): Effect.Effect<DerivedSnapshotInfo, SnapshotExists | SnapshotWriteFailed | KvmError> => {
  const { source, writer, options } = derivation
  const dir = resolve(derivation.out)
  const began = performance.now()
  const write = (temporary: string) =>
    Effect.gen(function* () {
      const memory = yield* writeMemory(derivation, join(temporary, writer.fileName))
      const memoryWritten = performance.now()
      const manifest = manifestOf(derivation, memory.layout)
      const state = yield* writeStateFile(temporary, manifest, source.sections, memory)
      return { manifest, memory, stateBytes: state.length, memoryWritten }
    })
  return Effect.map(
    publishBundle(dir, write, { overwrite: options.overwrite === true }),
    ({ manifest, memory, stateBytes, memoryWritten }): DerivedSnapshotInfo => ({
      id: manifest.id,
      dir,
      type: manifest.type,
      createdAt: manifest.createdAt,
      memoryBytes: manifest.machine.memoryBytes,
      writtenBytes: memory.writtenBytes,
      pages: memory.pages,
      stateBytes,
      milliseconds: { memory: memoryWritten - began, total: performance.now() - began },
    }),
  )
}
