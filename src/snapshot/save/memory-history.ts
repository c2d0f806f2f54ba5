/**
 * Where a machine's memory came from and which of its snapshots are known, and so how the pages that changed since one
 * of them are found. Snapshots are named by the digest of their header.
 */
import type { DirtyLog } from "../../memory/dirty-log.ts"
import { step, Tracking, TrackingEvent } from "../../memory/dirty-tracking.ts"
import type { PageBitmaps } from "../../memory/page-bitmap.ts"
import type { NativeDiffOptions } from "../../native.ts"

/**
 * How the pages that changed were found: in KVM's dirty log, among the pages that a restored machine no longer has from
 * its snapshot, or by comparing memory with the parent's.
 */
export type SnapshotTracking = "dirty-log" | "pagemap" | "compare"

/** Pages of one region that may have changed: all that did are among them. */
export type Candidates = Pick<NativeDiffOptions, "candidates" | "discarded">

/** A way to find the pages that changed since one snapshot. */
export interface ChangeSearch {
  readonly tracking: SnapshotTracking
  /** Where to look, region by region; to be asked once the snapshot has begun. */
  readonly candidates: () => readonly Candidates[]
}

/** What a history is told of its machine. */
export interface TrackedMachine {
  readonly memory: { readonly regions: readonly unknown[] }
  /** Where its writes are logged. */
  readonly dirtyLog: DirtyLog | undefined
  /** The pages that were ever discarded. */
  readonly discarded: { readonly pages: () => PageBitmaps }
}

export class MemoryHistory {
  readonly #machine: TrackedMachine
  /** What memory is a private mapping of. */
  readonly #restoredFrom: string | undefined
  /** The snapshots of this machine that are durable. */
  readonly #snapshots = new Set<string>()
  #tracking: Tracking

  /**
   * @param restoredFrom the snapshot that the machine's memory is a mapping of; it has not run since
   * @throws what KVM refuses
   */
  constructor(machine: TrackedMachine, restoredFrom: string | undefined) {
    this.#machine = machine
    this.#restoredFrom = restoredFrom
    this.#tracking = Tracking.Untracked()
    if (restoredFrom === undefined || machine.dirtyLog === undefined) return
    machine.dirtyLog.collect()
    this.#tracking = Tracking.Tracked({ parent: restoredFrom, unsaved: undefined })
  }

  /** The cheapest way to find what changed since `parent` that finds all of it. */
  changesSince(parent: string): ChangeSearch {
    if (this.#tracking._tag === "Tracked" && this.#tracking.parent === parent) {
      return { tracking: "dirty-log", candidates: () => this.#collectedSince(parent) }
    }
    if (this.#restoredFrom === parent) return { tracking: "pagemap", candidates: () => this.#everywhere("written") }
    const isOwn = this.#restoredFrom !== undefined && this.#snapshots.has(parent)
    return { tracking: "compare", candidates: () => (isOwn ? this.#sinceRestore() : this.#everywhere("all")) }
  }

  /**
   * A snapshot of the machine begins: every vCPU is parked, the devices are quiesced.
   * @throws what KVM refuses; nothing is lost then
   */
  begin(): void {
    const { dirtyLog } = this.#machine
    if (dirtyLog === undefined) return
    this.#tracking = step(this.#tracking, TrackingEvent.Began({ collected: dirtyLog.collect() }))
  }

  /** The snapshot that was begun is durable. */
  durable(digest: string): void {
    this.#snapshots.add(digest)
    this.#tracking = step(this.#tracking, TrackingEvent.Durable({ digest }))
  }

  /** It will never be. */
  failed(): void {
    this.#tracking = step(this.#tracking, TrackingEvent.Failed())
  }

  #collectedSince(parent: string): readonly Candidates[] {
    const tracking = this.#tracking
    if (tracking._tag !== "Saving" || tracking.parent !== parent) {
      throw new Error(`no snapshot has begun that ${parent} could be the parent of`)
    }
    return tracking.pages.map((candidates) => ({ candidates }))
  }

  #everywhere(candidates: "written" | "all"): readonly Candidates[] {
    return this.#machine.memory.regions.map(() => ({ candidates }))
  }

  /**
   * Whatever changed since a snapshot of this machine changed since the machine was restored: it was written, or it was
   * written before and is now as it was at the restore, by having been discarded.
   */
  #sinceRestore(): readonly Candidates[] {
    return this.#machine.discarded.pages().map((discarded) => ({ candidates: "written", discarded }))
  }
}
