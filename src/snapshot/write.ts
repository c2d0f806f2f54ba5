/**
 * Writes a full snapshot: the machine's state and all of its memory, in a directory that appears whole.
 */
import { randomUUID } from "node:crypto"
import { open } from "node:fs/promises"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import type { MachineState } from "../machine/config.ts"
import { type HostProfile, packHostProfile } from "../machine/host-profile.ts"
import type { PausedTime } from "../machine/kvm/paused-time.ts"
import type { Machine } from "../machine/machine.ts"
import type { KvmError, NativeHostProbe } from "../native.ts"
import { componentsOf, encodeEnvelope } from "../state/envelope.ts"
import { ARCHITECTURE, type Manifest } from "../state/manifest.ts"
import { packageVersion } from "../version.ts"
import {
  MEMORY_FILE,
  publishBundle,
  type SnapshotExists,
  type SnapshotWriteFailed,
  STATE_FILE,
  toWriteFailed,
  writeBundleFile,
} from "./bundle.ts"
import { type DumpProgress, dumpMemory } from "./dump-memory.ts"
import { saveMachine } from "./save-machine.ts"

export interface SnapshotOptions {
  /** The snapshot's directory; made by this, in a directory that exists. */
  readonly dir: string
  /** `full`: state and all of memory. */
  readonly type?: "full"
  /** Put this snapshot in the place of one that is there already. */
  readonly overwrite?: boolean
  /** Called about twenty times a second while memory is written. */
  readonly onProgress?: (progress: DumpProgress) => void
}

/** A snapshot that is on disk, whole. */
export interface SnapshotInfo {
  readonly id: string
  /** Absolute path. */
  readonly dir: string
  readonly type: Manifest["type"]
  /** ISO 8601, UTC. */
  readonly createdAt: string
  /** Size of the guest's memory, in bytes. */
  readonly memoryBytes: number
  /** Bytes of it in the memory file; the rest was never touched or is zero. */
  readonly writtenBytes: number
  /** Size of `state.cryo`, in bytes. */
  readonly stateBytes: number
  /** Milliseconds for the machine's state, for memory, and in all with everything durable on disk. */
  readonly milliseconds: { readonly state: number; readonly memory: number; readonly total: number }
}

/** Why a snapshot could not be written. */
export type SnapshotWriteError = SnapshotExists | SnapshotWriteFailed | KvmError

export interface SnapshotSource {
  readonly machine: Machine
  readonly machineState: MachineState
  readonly probe: NativeHostProbe
  readonly host: HostProfile
  /** What the machine's clocks showed when it was paused. */
  readonly time: PausedTime
}

const MIB = 2 ** 20

/** Regions behind each other in the file, in the order of their addresses. */
const memoryLayout = (machine: Machine): Manifest["memory"] => {
  let size = 0
  const regions = machine.memory.regions.map((region) => {
    const fileOffset = size
    size += region.size
    return { guestAddress: region.guestAddress, size: region.size, fileOffset }
  })
  return { regions, size, file: { name: MEMORY_FILE, size }, diff: null }
}

const writeMemory = (path: string, source: SnapshotSource, layout: Manifest["memory"], options: SnapshotOptions) =>
  Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => open(path, "wx", 0o600), catch: (cause) => toWriteFailed(path, cause) }),
    (file) =>
      Effect.gen(function* () {
        yield* Effect.tryPromise({
          try: () => file.truncate(layout.file.size),
          catch: (cause) => toWriteFailed(path, cause),
        })
        const regions = source.machine.memory.regions.map(({ memory }, index) => ({
          memory,
          fileOffset: layout.regions[index]?.fileOffset ?? 0,
        }))
        return yield* dumpMemory(file.fd, regions, options.onProgress ?? (() => {})).pipe(
          Effect.mapError((error) => (error.errno === 0 ? error : toWriteFailed(path, error))),
        )
      }),
    (file) => Effect.promise(() => file.close()),
  )

/**
 * Saves a paused machine. Nothing is visible under `dir` until all of it is durable; on failure or interruption
 * nothing of it stays.
 */
export const writeSnapshot = (
  source: SnapshotSource,
  options: SnapshotOptions,
): Effect.Effect<SnapshotInfo, SnapshotWriteError> => {
  const dir = resolve(options.dir)
  const write = (temporary: string) =>
    Effect.gen(function* () {
      const began = performance.now()
      const { machine, machineState, probe, host } = source
      const sections = yield* saveMachine(machine, machineState, probe.msrIndices, source.time)
      const layout = memoryLayout(machine)
      const manifest: Manifest = {
        producer: { name: "cryovm", version: packageVersion },
        createdAt: new Date().toISOString(),
        id: randomUUID(),
        type: "full",
        architecture: ARCHITECTURE,
        machine: {
          vcpuCount: machineState.vcpus,
          memoryBytes: machineState.memoryMib * MIB,
          ...(machineState.label === undefined ? {} : { label: machineState.label }),
        },
        memory: layout,
        components: componentsOf(sections),
        host: packHostProfile(host),
        parent: null,
        resources: [],
      }
      const state = encodeEnvelope({ manifest, sections })
      const stateSaved = performance.now()
      yield* writeBundleFile(temporary, STATE_FILE, state)
      const writtenBytes = yield* writeMemory(join(temporary, MEMORY_FILE), source, layout, options)
      return { began, stateSaved, memorySaved: performance.now(), manifest, writtenBytes, stateBytes: state.length }
    })
  const publishing = options.overwrite === undefined ? {} : { overwrite: options.overwrite }
  return publishBundle(dir, write, publishing).pipe(
    Effect.map(({ began, stateSaved, memorySaved, manifest, writtenBytes, stateBytes }) => ({
      id: manifest.id,
      dir,
      type: manifest.type,
      createdAt: manifest.createdAt,
      memoryBytes: manifest.machine.memoryBytes,
      writtenBytes,
      stateBytes,
      milliseconds: {
        state: stateSaved - began,
        memory: memorySaved - stateSaved,
        total: performance.now() - began,
      },
    })),
  )
}
