/** The snapshots of a chain, from the newest to the full one, by their headers and manifests. */
import { isDeepStrictEqual } from "node:util"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type SnapshotHead, SnapshotInconsistent } from "../bundle/bundle.ts"
import { ChainTooLarge } from "./errors.ts"
import { type ParentError, parentFinder } from "./find-parent.ts"

/** Most snapshots of a chain. That also ends one that came back to where it has been, which digests make impossible. */
export const MAXIMUM_LINKS = 256

/** Most bytes of all their manifests, each of which takes some KiB. */
const MAXIMUM_MANIFESTS_BYTES = 64 * 1024 * 1024

export interface ChainOptions {
  /**
   * Where parents are looked for first: directories of snapshots, or of folders with snapshots in them. After these comes
   * what is beside each snapshot.
   */
  readonly parents?: readonly string[]
}

/** Why a chain does not reach a full snapshot. */
export type WalkError = ParentError | ChainTooLarge | SnapshotInconsistent

/** A chain as far as it could be followed. */
export interface Walk {
  /** The newest first. */
  readonly heads: readonly SnapshotHead[]
  /** `undefined` where the last of them is a full snapshot. */
  readonly end: WalkError | undefined
}

const checkLayout = (child: SnapshotHead, parent: SnapshotHead): SnapshotInconsistent | undefined => {
  const layoutOf = ({ manifest: { memory } }: SnapshotHead) => ({ regions: memory.regions, size: memory.size })
  if (isDeepStrictEqual(layoutOf(child), layoutOf(parent))) return undefined
  return new SnapshotInconsistent({
    message: `${child.dir}: its memory is laid out in another way than that of its parent ${parent.dir}`,
    dir: child.dir,
  })
}

const tooLarge = ({ dir }: SnapshotHead, what: string) =>
  new ChainTooLarge({ message: `the chain of ${dir} has more than ${what}: flatten it where it was taken`, dir })

/** Follows the parents of a snapshot as far as they are there. */
export const walkChain = (newest: SnapshotHead, options: ChainOptions = {}): Effect.Effect<Walk> =>
  Effect.gen(function* () {
    const findParent = parentFinder(options.parents)
    const heads = [newest]
    let manifestBytes = newest.header.manifestLength
    for (let head = newest; head.manifest.parent !== null; ) {
      if (heads.length === MAXIMUM_LINKS) return { heads, end: tooLarge(newest, `${MAXIMUM_LINKS} snapshots`) }
      const found = yield* Effect.result(findParent(head))
      if (Result.isFailure(found)) return { heads, end: found.failure }
      const parent = found.success
      const problem = checkLayout(head, parent)
      if (problem !== undefined) return { heads, end: problem }
      manifestBytes += parent.header.manifestLength
      if (manifestBytes > MAXIMUM_MANIFESTS_BYTES) {
        return { heads, end: tooLarge(newest, `${MAXIMUM_MANIFESTS_BYTES} bytes of manifests`) }
      }
      heads.push(parent)
      head = parent
    }
    return { heads, end: undefined }
  })
