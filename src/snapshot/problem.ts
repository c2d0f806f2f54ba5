/** What can be wrong with a snapshot on disk, as a result of looking for it. */
import * as Data from "effect/Data"
import type { GuestRange } from "../memory/guest-memory.ts"

/** A part of a snapshot. */
export type SnapshotPart =
  /** `state.cryo` as a file: not there, cut short, too long, not one at all. */
  | "state file"
  /** The parts that `state.cryo` consists of. */
  | "header"
  | "manifest"
  | "sections"
  | "digests"
  /** The state of one component. */
  | "section"
  /** The memory file. */
  | "memory"
  /** The snapshot that this one is a difference to. */
  | "parent"

/** One thing that is wrong with a snapshot. */
export interface SnapshotProblem {
  readonly part: SnapshotPart
  /** `CRYOVM_...`: the code of the error that a reader which needs this part fails with. */
  readonly code: string
  readonly message: string
  /** Name of the component, where `part` is `section`. */
  readonly section?: string
  /** Bytes of the memory file that are not what was written. */
  readonly fileRange?: { readonly offset: number; readonly length: number }
  /** The guest-physical addresses whose memory is in `fileRange`; none where it holds the table of a difference. */
  readonly guestRanges?: readonly GuestRange[]
}

/** What was found in one snapshot of a chain. */
export interface LinkVerification {
  /** Absolute path. */
  readonly dir: string
  /** `undefined` where it cannot be read any more. */
  readonly id: string | undefined
  /** Empty where nothing is wrong. */
  readonly problems: readonly SnapshotProblem[]
  /** Bytes of its files that were held against digests. */
  readonly checkedBytes: number
  /**
   * Whether it has digests of its memory. Snapshots of format 1 have none: of their memory file, only that it is there and
   * as long as it should be is known.
   */
  readonly hasDigests: boolean
}

/** Most problems that the message of an error tells; the others are in its `links`. */
const MOST_TOLD = 3

/** The problems of a chain in sentences, each with the snapshot that it is in. */
const told = (links: readonly LinkVerification[]): string => {
  const messages = links.flatMap(({ dir, problems }) => problems.map(({ message }) => `${dir}: ${message}`))
  const more = messages.length - MOST_TOLD
  return messages.slice(0, MOST_TOLD).join("; ") + (more > 0 ? `; and ${more} more` : "")
}

/** A snapshot, or one that it is a difference to, is damaged. */
export class SnapshotDamaged extends Data.TaggedError("SnapshotDamaged")<{
  readonly message: string
  /** The snapshot that was asked for. */
  readonly dir: string
  /** It and those that it is a difference to, with what was found in each. */
  readonly links: readonly LinkVerification[]
}> {
  readonly code = "CRYOVM_SNAPSHOT_DAMAGED"
}

export const snapshotDamaged = (dir: string, links: readonly LinkVerification[]): SnapshotDamaged =>
  new SnapshotDamaged({
    message: `the snapshot ${dir} is damaged: ${told(links)}; copy what is damaged again from where it is whole`,
    dir,
    links,
  })
