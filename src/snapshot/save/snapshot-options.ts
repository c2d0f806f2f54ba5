/** What a snapshot can be asked to be, and what it tells of itself. */
import type { ChainOptions } from "../chain/walk-chain.ts"
import type { DumpProgress } from "../progress.ts"
import type { SnapshotTracking } from "./memory-history.ts"

interface CommonOptions {
  /** The snapshot's directory; made by this, in a directory that exists. */
  readonly dir: string
  /** Put this snapshot in the place of one that is there already. */
  readonly overwrite?: boolean
  /** Called about twenty times a second while memory is written. */
  readonly onProgress?: (progress: DumpProgress) => void
}

/** State and all of memory. */
export interface FullSnapshotOptions extends CommonOptions {
  readonly type?: "full"
}

/** State, and of memory the pages that changed since another snapshot. */
export interface DiffSnapshotOptions extends CommonOptions, ChainOptions {
  readonly type: "diff"
  /**
   * Directory of that snapshot: full, or itself a diff. It is needed, as it is now, wherever this one is restored; beside
   * this one's directory it is found by itself.
   */
  readonly parent: string
}

export type SnapshotOptions = FullSnapshotOptions | DiffSnapshotOptions

/** A snapshot that is on disk, whole. */
export interface SnapshotInfo {
  readonly id: string
  /** Absolute path. */
  readonly dir: string
  readonly type: "full" | "diff"
  /** ISO 8601, UTC. */
  readonly createdAt: string
  /** Size of the guest's memory, in bytes. */
  readonly memoryBytes: number
  /** Bytes of it in the memory file. The rest was never touched, is zero, or in a diff did not change. */
  readonly writtenBytes: number
  /** Pages of 4,096 bytes that the memory file tells of: those in it, and of a diff those that became zero. */
  readonly pages: number
  /** Size of `state.cryo`, in bytes. */
  readonly stateBytes: number
  /** Of a diff: what it is a difference to. `dir` is an absolute path. */
  readonly parent?: { readonly id: string; readonly dir: string }
  /** Of a diff: how the pages that changed were found. */
  readonly tracking?: SnapshotTracking
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
