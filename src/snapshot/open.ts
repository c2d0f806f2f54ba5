/**
 * A snapshot directory opened for a restore: everything read and checked, nothing mapped yet.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { memoryRegions } from "../machine/layout.ts"
import type { NativeMemorySource } from "../native.ts"
import { checkArchitecture, type Manifest, type SnapshotArchitectureMismatch } from "../state/manifest.ts"
import { openMemoryFile, readStateFile } from "./bundle.ts"
import { decodeSections, type MachineSnapshot, type StateError } from "./sections.ts"

/** The parts of a snapshot contradict each other. */
export class SnapshotInconsistent extends Data.TaggedError("SnapshotInconsistent")<{
  readonly message: string
  readonly dir: string
}> {
  readonly code = "CRYOVM_SNAPSHOT_INCONSISTENT"
}

export interface OpenedSnapshot {
  readonly manifest: Manifest
  readonly state: MachineSnapshot
  /** One mapping a region of guest memory; the descriptors in it are closed with the scope. */
  readonly memories: readonly { readonly size: number; readonly source: NativeMemorySource }[]
}

const MIB = 2 ** 20

const inconsistent = (dir: string, manifest: Manifest, state: MachineSnapshot): SnapshotInconsistent | undefined => {
  const wanted = memoryRegions(state.machine.memoryMib * MIB)
  const regions = manifest.memory.regions
  const sameRegions =
    regions.length === wanted.length &&
    wanted.every((want, index) => {
      const region = regions[index]
      return region?.guestAddress === want.guestAddress && region.size === want.size
    })
  if (!sameRegions) {
    return new SnapshotInconsistent({
      message: `${dir}: the memory regions of the manifest are not those of a machine of ${state.machine.memoryMib} MiB`,
      dir,
    })
  }
  if (manifest.machine.vcpuCount === state.machine.vcpus) return undefined
  return new SnapshotInconsistent({
    message: `${dir}: the manifest tells of ${manifest.machine.vcpuCount} vCPUs, the machine has ${state.machine.vcpus}`,
    dir,
  })
}

/** Reads and checks all of a snapshot but its memory, which is only opened. */
export const openSnapshot = (dir: string) =>
  Effect.gen(function* () {
    const { manifest, sections } = yield* readStateFile(dir)
    yield* Effect.try({
      try: () => checkArchitecture(manifest),
      catch: (error) => error as SnapshotArchitectureMismatch,
    })
    const state = yield* Effect.try({
      try: () => decodeSections(sections),
      catch: (error) => error as StateError,
    })
    const problem = inconsistent(dir, manifest, state)
    if (problem !== undefined) return yield* problem
    const fd = yield* openMemoryFile(dir, manifest)
    const memories = manifest.memory.regions.map(({ size, fileOffset }) => ({
      size,
      source: { kind: "file", fd, offset: fileOffset } as const,
    }))
    return { manifest, state, memories } satisfies OpenedSnapshot
  })
