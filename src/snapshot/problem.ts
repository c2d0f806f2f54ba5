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

/** Most problems that the message of an error tells; the others are in its `problems`. */
const MOST_TOLD = 3

const told = (problems: readonly SnapshotProblem[]): string => {
  const more = problems.length - MOST_TOLD
  const messages = problems.slice(0, MOST_TOLD).map(({ message }) => message)
  return more > 0 ? `${messages.join("; ")}; and ${more} more` : messages.join("; ")
}

/** A snapshot, or one that it is a difference to, is damaged. */
export class SnapshotDamaged extends Data.TaggedError("SnapshotDamaged")<{
  readonly message: string
  readonly dir: string
  readonly problems: readonly SnapshotProblem[]
}> {
  readonly code = "CRYOVM_SNAPSHOT_DAMAGED"
}

/** @param dir the snapshot that was asked for */
export const snapshotDamaged = (dir: string, problems: readonly SnapshotProblem[]): SnapshotDamaged =>
  new SnapshotDamaged({
    message: `the snapshot ${dir} is damaged: ${told(problems)}; copy it again from where it is whole`,
    dir,
    problems,
  })
