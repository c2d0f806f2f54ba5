/**
 * What a snapshot is, told from the header and manifest of its state file, and from the table of changes of a diff.
 */
import { stat } from "node:fs/promises"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { type HostProfile, unpackHostProfile } from "../machine/host-profile.ts"
import { type AbortOptions, run } from "../promise.ts"
import type { Manifest } from "../state/manifest.ts"
import { openMemoryFile, readHead, type SnapshotHead, STATE_FILE, type StateReadError } from "./bundle/bundle.ts"
import { readRunTable } from "./runs/run-table.ts"
import { RUN_NUMBERS, ZEROS } from "./runs/runs.ts"

/** A snapshot's manifest, with where it is and what it takes on disk. */
export interface SnapshotDescription extends Omit<Manifest, "host"> {
  /** The host it was written on. */
  readonly host: HostProfile
  /** Absolute path of the directory. */
  readonly dir: string
  /** Of `state.cryo`. */
  readonly formatVersion: number
  /** SHA-256 of the header, hexadecimal: what a difference to this snapshot names it by. */
  readonly digest: string
  /** Whether there are digests by which damage to the memory is found. */
  readonly hasMemoryDigests: boolean
  /**
   * Bytes of memory that a diff holds, and that it says have become zero; `null` of a full snapshot, and where the memory
   * file cannot be read.
   */
  readonly changedBytes: { readonly data: number; readonly zeros: number } | null
  /** Bytes of disk that each file takes; 0 for one that is not there. */
  readonly diskBytes: { readonly state: number; readonly memory: number }
}

const STAT_BLOCK = 512

const diskBytes = (path: string): Effect.Effect<number> =>
  Effect.promise(() =>
    stat(path).then(
      (stats) => stats.blocks * STAT_BLOCK,
      () => 0,
    ),
  )

const changedBytes = (head: SnapshotHead): Effect.Effect<SnapshotDescription["changedBytes"]> =>
  Effect.gen(function* () {
    const runs = yield* readRunTable(head, yield* openMemoryFile(head.dir, head.manifest))
    if (runs === undefined) return null
    const sums = { data: 0, zeros: 0 }
    for (let at = 0; at < runs.length; at += RUN_NUMBERS) {
      sums[runs[at + 2] === ZEROS ? "zeros" : "data"] += runs[at + 1] as number
    }
    return sums
  }).pipe(
    Effect.scoped,
    Effect.orElseSucceed(() => null),
  )

/** Reads what a snapshot says of itself. Neither the sections nor pages of memory are read or checked. */
export const describeSnapshot = (dir: string): Effect.Effect<SnapshotDescription, StateReadError> =>
  Effect.gen(function* () {
    const head = yield* readHead(dir)
    const { header, manifest } = head
    const state = yield* diskBytes(join(dir, STATE_FILE))
    const memory = yield* diskBytes(join(dir, manifest.memory.file.name))
    return {
      ...manifest,
      host: unpackHostProfile(manifest.host),
      dir: resolve(dir),
      formatVersion: header.formatVersion,
      digest: header.digest,
      hasMemoryDigests: header.digestsLength > 0,
      changedBytes: yield* changedBytes(head),
      diskBytes: { state, memory },
    }
  })

/** {@link describeSnapshot} as a Promise. */
export const inspectSnapshot = (dir: string, options?: AbortOptions): Promise<SnapshotDescription> =>
  run(describeSnapshot(dir), options)
