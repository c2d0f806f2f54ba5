/**
 * What a snapshot is, told from the header and manifest of its state file alone.
 */
import { stat } from "node:fs/promises"
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import { type HostProfile, unpackHostProfile } from "../machine/host-profile.ts"
import { type AbortOptions, run } from "../promise.ts"
import type { Manifest } from "../state/manifest.ts"
import { readManifest, STATE_FILE, type StateReadError } from "./bundle.ts"

/** A snapshot's manifest, with where it is and what it takes on disk. */
export interface SnapshotDescription extends Omit<Manifest, "host"> {
  /** The host it was written on. */
  readonly host: HostProfile
  /** Absolute path of the directory. */
  readonly dir: string
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

/** Reads what a snapshot says of itself. Neither the sections nor the memory are read or checked. */
export const describeSnapshot = (dir: string): Effect.Effect<SnapshotDescription, StateReadError> =>
  Effect.gen(function* () {
    const manifest = yield* readManifest(dir)
    const state = yield* diskBytes(join(dir, STATE_FILE))
    const memory = yield* diskBytes(join(dir, manifest.memory.file.name))
    return { ...manifest, host: unpackHostProfile(manifest.host), dir: resolve(dir), diskBytes: { state, memory } }
  })

/** {@link describeSnapshot} as a Promise. */
export const inspectSnapshot = (dir: string, options?: AbortOptions): Promise<SnapshotDescription> =>
  run(describeSnapshot(dir), options)
