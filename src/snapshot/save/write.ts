/**
 * Writes a snapshot: the machine's state and its memory, all of it or what changed, in a directory that appears whole.
 *
 * The guest stands still only while its state is saved and its memory is copied to the file. The directory is made
 * before; `state.cryo`, and waiting until all of it is durable, come when the guest runs again.
 */
import { randomUUID } from "node:crypto"
import { type FileHandle, open } from "node:fs/promises"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { MachineState } from "../../machine/config.ts"
import { type HostProfile, packHostProfile } from "../../machine/host-profile.ts"
import type { PausedTime } from "../../machine/kvm/paused-time.ts"
import type { Machine } from "../../machine/machine.ts"
import { type KvmError, type NativeHostProbe, toKvmError } from "../../native.ts"
import { componentsOf, readHeader, type Section } from "../../state/envelope.ts"
import { ARCHITECTURE, type Manifest } from "../../state/manifest.ts"
import { packageVersion } from "../../version.ts"
import { publishBundle, type SnapshotExists, type SnapshotWriteFailed, toWriteFailed } from "../bundle/bundle.ts"
import type { DumpProgress } from "../progress.ts"
import { changedMemory } from "./changed-memory.ts"
import { fullMemory } from "./full-memory.ts"
import type { MemoryHistory } from "./memory-history.ts"
import type { MemoryFile, MemoryWriter } from "./memory-writer.ts"
import { findChanges, openParent, type Parent, type ParentError } from "./parent.ts"
import { saveMachine, sectionsOf } from "./save-machine.ts"
import type { SnapshotInfo, SnapshotOptions } from "./snapshot-options.ts"
import { writeStateFile } from "./state-file.ts"

/** Why a snapshot could not be written. */
export type SnapshotWriteError = SnapshotExists | SnapshotWriteFailed | KvmError | ParentError

/** A machine that is paused, and what a snapshot tells of it. */
export interface PausedMachine {
  readonly machine: Machine
  readonly machineState: MachineState
  readonly probe: NativeHostProbe
  readonly host: HostProfile
  readonly history: MemoryHistory
  /** What the machine's clocks showed when it was paused. */
  readonly time: PausedTime
}

/** Where a snapshot is taken from. `E`: why the machine cannot be paused. */
export interface SnapshotSource<E> {
  /** The machine of this moment. Where it is rolled back in between, another one is paused later. */
  readonly present: () => Pick<PausedMachine, "machine" | "history">
  /**
   * Runs `work` while the machine is paused. One that ran runs again afterwards, whatever came of `work`; one that was
   * paused stays so.
   */
  readonly whilePaused: <A, E2>(
    work: (paused: PausedMachine) => Effect.Effect<A, E2>,
  ) => Effect.Effect<{ readonly value: A; readonly pausedMilliseconds: number }, E | E2>
}

const MIB = 2 ** 20

/** A file of the snapshot that is being written, closed again whatever happens. */
const withNewFile = <A, E>(path: string, use: (handle: FileHandle) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => open(path, "wx", 0o600), catch: (cause) => toWriteFailed(path, cause) }),
    use,
    (handle) => Effect.promise(() => handle.close()),
  )

/** Told of a snapshot as it is written. */
interface Watchers {
  readonly onProgress: (progress: DumpProgress) => void
  /** From now on the history has to be told what becomes of the snapshot. */
  readonly onBegun: (history: MemoryHistory) => void
}

type PresentMachine = Pick<PausedMachine, "machine" | "history">

/** How memory is written, all of it or what changed since the parent. What that takes goes with the scope. */
const memoryWriterOf = (parent: Parent | undefined, { machine, history }: PresentMachine) =>
  parent === undefined
    ? Effect.succeed(fullMemory)
    : Effect.map(findChanges(parent, machine.memory, history), (changes) => changedMemory(changes, parent.runs))

/** What the guest has to stand still for. */
const capture = (
  { machine, machineState, probe, host, history, time }: PausedMachine,
  writer: MemoryWriter,
  file: MemoryFile,
  { onProgress, onBegun }: Watchers,
) =>
  Effect.gen(function* () {
    const began = performance.now()
    const createdAt = new Date().toISOString()
    const saved = yield* saveMachine(machine, machineState, probe.msrIndices, time)
    yield* Effect.try({ try: () => history.begin(), catch: toKvmError })
    onBegun(history)
    const stateSaved = performance.now()
    const finish = yield* writer.dump(file, machine.memory, onProgress)
    const milliseconds = { state: stateSaved - began, memory: performance.now() - stateSaved }
    return { createdAt, host, saved, finish, tracking: writer.tracking, milliseconds }
  })

/** Writes the memory file. Gives what the state file is made of. */
const writeMemory = <E>(source: SnapshotSource<E>, parent: Parent | undefined, temporary: string, watchers: Watchers) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const present = source.present()
    const prepared = yield* memoryWriterOf(parent, present)
    const path = join(temporary, prepared.fileName)
    return yield* withNewFile(path, (handle) =>
      Effect.gen(function* () {
        const { value, pausedMilliseconds } = yield* source.whilePaused((paused) =>
          Effect.gen(function* () {
            const isPresent = paused.history === present.history
            const writer = isPresent ? prepared : yield* Scope.provide(memoryWriterOf(parent, paused), scope)
            return yield* capture(paused, writer, { path, handle }, watchers)
          }),
        )
        const { finish, milliseconds, ...captured } = value
        return { ...captured, memory: yield* finish, milliseconds: { ...milliseconds, paused: pausedMilliseconds } }
      }),
    )
  })

const manifestOf = (
  { createdAt, host, saved, memory }: Effect.Success<ReturnType<typeof writeMemory>>,
  sections: readonly Section[],
  parent: Parent | undefined,
): Manifest => ({
  producer: { name: "cryovm", version: packageVersion },
  createdAt,
  id: randomUUID(),
  type: parent === undefined ? "full" : "diff",
  architecture: ARCHITECTURE,
  machine: {
    vcpuCount: saved.machine.vcpus,
    memoryBytes: saved.machine.memoryMib * MIB,
    ...(saved.machine.label === undefined ? {} : { label: saved.machine.label }),
  },
  memory: memory.layout,
  components: componentsOf(sections),
  host: packHostProfile(host),
  parent: parent?.reference ?? null,
  resources: [],
})

/**
 * Saves a machine. Nothing is visible under `dir` until all of it is durable; on failure or interruption nothing of it
 * stays.
 */
export const writeSnapshot = <E>(
  source: SnapshotSource<E>,
  options: SnapshotOptions,
): Effect.Effect<SnapshotInfo, SnapshotWriteError | E> =>
  Effect.gen(function* () {
    const dir = resolve(options.dir)
    const parent = yield* openParent(options)
    let history: MemoryHistory | undefined
    const watchers: Watchers = {
      onProgress: options.onProgress ?? (() => {}),
      onBegun: (begun) => {
        history = begun
      },
    }
    const write = (temporary: string) =>
      Effect.gen(function* () {
        const began = performance.now()
        const written = yield* writeMemory(source, parent, temporary, watchers)
        const sections = sectionsOf(written.saved)
        const manifest = manifestOf(written, sections, parent)
        const state = yield* writeStateFile(temporary, manifest, sections, written.memory)
        return { began, written, manifest, state }
      })
    const { began, written, manifest, state } = yield* publishBundle(dir, write, {
      overwrite: options.overwrite === true,
    }).pipe(
      // What is known of memory goes by what is durable; after an interruption at the very end it is as it was.
      Effect.onExit((exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) history?.durable(readHeader(exit.value.state).digest)
          else history?.failed()
        }),
      ),
    )
    return {
      id: manifest.id,
      dir,
      type: manifest.type,
      createdAt: manifest.createdAt,
      memoryBytes: manifest.machine.memoryBytes,
      writtenBytes: written.memory.writtenBytes,
      pages: written.memory.pages,
      stateBytes: state.length,
      ...(parent === undefined ? {} : { parent: { id: parent.reference.id, dir: parent.dir } }),
      ...(written.tracking === undefined ? {} : { tracking: written.tracking }),
      milliseconds: { ...written.milliseconds, total: performance.now() - began },
    }
  }).pipe(Effect.scoped)
