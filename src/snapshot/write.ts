/**
 * Writes a full snapshot: the machine's state and all of its memory, in a directory that appears whole.
 *
 * The guest stands still only while its state is saved and its memory is copied to the file. The directory is made
 * before; `state.cryo`, and waiting until all of it is durable, come when the guest runs again.
 */
import { randomUUID } from "node:crypto"
import { type FileHandle, open } from "node:fs/promises"
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
  readonly milliseconds: SnapshotTimes
}

/** Where the time of a snapshot went, in milliseconds. */
export interface SnapshotTimes {
  /** Saving the machine's state. */
  readonly state: number
  /** Copying its memory. */
  readonly memory: number
  /** How long the guest did not run for it; 0 where the machine was paused already. */
  readonly paused: number
  /** In all, with everything durable on disk. */
  readonly total: number
}

/** Why a snapshot could not be written. */
export type SnapshotWriteError = SnapshotExists | SnapshotWriteFailed | KvmError

/** A machine that is paused, and what a snapshot tells of it. */
export interface PausedMachine {
  readonly machine: Machine
  readonly machineState: MachineState
  readonly probe: NativeHostProbe
  readonly host: HostProfile
  /** What the machine's clocks showed when it was paused. */
  readonly time: PausedTime
}

/** Where a snapshot is taken from. `E`: why the machine cannot be paused. */
export interface SnapshotSource<E> {
  /**
   * Runs `work` while the machine is paused. One that ran runs again afterwards, whatever came of `work`; one that was
   * paused stays so.
   */
  readonly whilePaused: <A, E2>(
    work: (paused: PausedMachine) => Effect.Effect<A, E2>,
  ) => Effect.Effect<{ readonly value: A; readonly pausedMilliseconds: number }, E | E2>
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

/** A file of the snapshot that is being written, closed again whatever happens. */
const withNewFile = <A, E>(path: string, use: (file: FileHandle) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => open(path, "wx", 0o600), catch: (cause) => toWriteFailed(path, cause) }),
    use,
    (file) => Effect.promise(() => file.close()),
  )

const writeMemory = (
  path: string,
  file: FileHandle,
  machine: Machine,
  layout: Manifest["memory"],
  onProgress: (progress: DumpProgress) => void,
) =>
  Effect.gen(function* () {
    yield* Effect.tryPromise({
      try: () => file.truncate(layout.file.size),
      catch: (cause) => toWriteFailed(path, cause),
    })
    const regions = machine.memory.regions.map(({ memory }, index) => ({
      memory,
      fileOffset: layout.regions[index]?.fileOffset ?? 0,
    }))
    return yield* dumpMemory(file.fd, regions, onProgress).pipe(
      Effect.mapError((error) => (error.errno === 0 ? error : toWriteFailed(path, error))),
    )
  })

/** What the guest has to stand still for. */
const capture = (path: string, file: FileHandle, paused: PausedMachine, onProgress: (progress: DumpProgress) => void) =>
  Effect.gen(function* () {
    const began = performance.now()
    const { machine, machineState, probe, host, time } = paused
    const createdAt = new Date().toISOString()
    const sections = yield* saveMachine(machine, machineState, probe.msrIndices, time)
    const stateSaved = performance.now()
    const layout = memoryLayout(machine)
    const writtenBytes = yield* writeMemory(path, file, machine, layout, onProgress)
    const milliseconds = { state: stateSaved - began, memory: performance.now() - stateSaved }
    return { createdAt, machineState, host, sections, layout, writtenBytes, milliseconds }
  })

const manifestOf = (captured: Effect.Success<ReturnType<typeof capture>>): Manifest => {
  const { createdAt, machineState, host, sections, layout } = captured
  return {
    producer: { name: "cryovm", version: packageVersion },
    createdAt,
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
}

/**
 * Saves a machine. Nothing is visible under `dir` until all of it is durable; on failure or interruption nothing of it
 * stays.
 */
export const writeSnapshot = <E>(
  source: SnapshotSource<E>,
  options: SnapshotOptions,
): Effect.Effect<SnapshotInfo, SnapshotWriteError | E> => {
  const dir = resolve(options.dir)
  const write = (temporary: string) =>
    Effect.gen(function* () {
      const began = performance.now()
      const path = join(temporary, MEMORY_FILE)
      const { value: captured, pausedMilliseconds } = yield* withNewFile(path, (file) =>
        source.whilePaused((paused) => capture(path, file, paused, options.onProgress ?? (() => {}))),
      )
      const manifest = manifestOf(captured)
      const state = encodeEnvelope({ manifest, sections: captured.sections })
      yield* writeBundleFile(temporary, STATE_FILE, state)
      return { began, captured, pausedMilliseconds, manifest, stateBytes: state.length }
    })
  return publishBundle(dir, write, { overwrite: options.overwrite === true }).pipe(
    // Durable from here on. What depends on that belongs here; a snapshot that failed does not come this far.
    Effect.map(({ began, captured, pausedMilliseconds, manifest, stateBytes }) => ({
      id: manifest.id,
      dir,
      type: manifest.type,
      createdAt: manifest.createdAt,
      memoryBytes: manifest.machine.memoryBytes,
      writtenBytes: captured.writtenBytes,
      stateBytes,
      milliseconds: { ...captured.milliseconds, paused: pausedMilliseconds, total: performance.now() - began },
    })),
  )
}
