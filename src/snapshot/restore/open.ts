/**
 * A snapshot directory opened for a restore: everything read and checked, nothing mapped yet.
 */
import * as Effect from "effect/Effect"
import type { MachineState } from "../../machine/config.ts"
import { memoryRegions } from "../../machine/layout.ts"
import { checkArchitecture, type Manifest, type SnapshotArchitectureMismatch } from "../../state/manifest.ts"
import { readStateFile, SnapshotInconsistent } from "../bundle/bundle.ts"
import { type Chain, type ChainOptions, openChainOf } from "../chain/chain.ts"
import { decodeSections, type MachineSnapshot, type StateError } from "../sections.ts"
import { type ResolvedResource, type ResourceOptions, resolveResources } from "./resources.ts"

export interface OpenedSnapshot {
  /** Of the header of its state: what it is named by. */
  readonly digest: string
  readonly manifest: Manifest
  readonly state: MachineSnapshot
  /** What it needs outside of itself, each where it is here and of use. */
  readonly resources: readonly ResolvedResource[]
  /** Its memory, and of a diff that of its parents; the descriptors in it are closed with the scope. */
  readonly chain: Chain
}

const MIB = 2 ** 20

/** In what a snapshot's manifest and its machine contradict each other. */
export const inconsistent = (
  dir: string,
  manifest: Manifest,
  machine: MachineState,
): SnapshotInconsistent | undefined => {
  const wanted = memoryRegions(machine.memoryMib * MIB)
  const regions = manifest.memory.regions
  const sameRegions =
    regions.length === wanted.length &&
    wanted.every((want, index) => {
      const region = regions[index]
      return region?.guestAddress === want.guestAddress && region.size === want.size
    })
  if (!sameRegions) {
    return new SnapshotInconsistent({
      message: `${dir}: the memory regions of the manifest are not those of a machine of ${machine.memoryMib} MiB`,
      dir,
    })
  }
  if (manifest.machine.vcpuCount === machine.vcpus) return undefined
  return new SnapshotInconsistent({
    message: `${dir}: the manifest tells of ${manifest.machine.vcpuCount} vCPUs, the machine has ${machine.vcpus}`,
    dir,
  })
}

/** Reads and checks a snapshot's state file, with the state of the whole machine. */
export const readMachineState = (dir: string) =>
  Effect.gen(function* () {
    const envelope = yield* readStateFile(dir)
    const { manifest, sections } = envelope
    yield* Effect.try({
      try: () => checkArchitecture(manifest),
      catch: (error) => error as SnapshotArchitectureMismatch,
    })
    const state = yield* Effect.try({
      try: () => decodeSections(sections),
      catch: (error) => error as StateError,
    })
    const problem = inconsistent(dir, manifest, state.machine)
    if (problem !== undefined) return yield* problem
    return { ...envelope, state }
  })

/** Reads and checks all of a snapshot but its memory, which is only opened, with that of its parents. */
export const openSnapshot = (dir: string, options?: ChainOptions & ResourceOptions) =>
  Effect.gen(function* () {
    const { header, manifest, state } = yield* readMachineState(dir)
    const resources = yield* resolveResources(dir, manifest.resources, options)
    const chain = yield* openChainOf({ dir, header, manifest }, options)
    return { digest: header.digest, manifest, state, resources, chain } satisfies OpenedSnapshot
  })
