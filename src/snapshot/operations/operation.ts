/** What the operations that make something of snapshots on disk have in common. */
import * as Effect from "effect/Effect"
import type { ChainLink, ChainOptions } from "../chain/chain.ts"
import type { SnapshotDamaged } from "../problem.ts"
import { type OnProgress, type StepProgress, stepProgress } from "../progress.ts"
import { requireVerified, type VerifyError } from "./verify.ts"

export interface OperationOptions extends ChainOptions {
  /** Put what is written in the place of what is there already. */
  readonly overwrite?: boolean
  /**
   * Hold what is read against its digests first, as `verifySnapshot` does: behind the digests that are made anew, damage
   * would not be found any more. True without it.
   */
  readonly verify?: boolean
  /** Called about twenty times a second while memory is read. */
  readonly onProgress?: OnProgress
}

/** A snapshot that is read, with all that it is a difference to. */
export interface Source {
  readonly dir: string
  /** The full snapshot first, as in `Chain`. */
  readonly links: readonly ChainLink[]
}

const bytesOf = ({ links }: Source): number =>
  links.reduce((total, { manifest }) => total + manifest.memory.file.size, 0)

/** A chain that is part of another one, or the same, is verified with that. */
const isPart = (source: Source, index: number, all: readonly Source[]): boolean => {
  const newest = source.links.at(-1)?.header.digest
  return all.some(
    (other, at) =>
      at !== index &&
      other.links.some(({ header }) => header.digest === newest) &&
      (other.links.length > source.links.length || at < index),
  )
}

/**
 * Looks for damage in what is read, unless not asked for, and fails with `SnapshotDamaged` where there is some.
 * @param workBytes of the work that comes afterwards
 * @returns the progress of both, for the work to go on with
 */
export const verifySources = (
  sources: readonly Source[],
  workBytes: number,
  { verify, parents = [], onProgress }: OperationOptions,
): Effect.Effect<StepProgress, VerifyError | SnapshotDamaged> =>
  Effect.gen(function* () {
    const verified = verify === false ? [] : sources.filter((source, index, all) => !isPart(source, index, all))
    const totalBytes = verified.reduce((total, source) => total + bytesOf(source), workBytes)
    const progress = stepProgress(totalBytes, onProgress)
    for (const source of verified) {
      yield* requireVerified(source.dir, { parents, onProgress: ({ doneBytes }) => progress.at(doneBytes) })
      progress.finish(bytesOf(source))
    }
    return progress
  })
