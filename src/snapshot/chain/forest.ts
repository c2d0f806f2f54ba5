/** Which of many snapshots is whose parent: a forest, whatever their headers say. */
import { MAXIMUM_LINKS } from "./walk-chain.ts"

/** What decides where a snapshot belongs. */
export interface Placeable {
  /** Of its header; `null` where that cannot be read. Copies have the same. */
  readonly digest: string | null
  /** Its parent, `null` of a full snapshot: the digest of the header, and the name of the directory to be preferred. */
  readonly parent: { readonly digest: string; readonly name: string | undefined } | null
  /** Name of its own directory. */
  readonly name: string
}

/**
 * Where a snapshot belongs: under another one, or at the top because it is full, because its parent is not there, or
 * because the chain down to it is endless or longer than can be opened.
 */
export type Place = { readonly under: number } | { readonly top: "full" | "parent missing" | "chain too long" }

/** The index of each one's parent; -1 where there is none. */
const parentsOf = (snapshots: readonly Placeable[]): Int32Array => {
  const byDigest = new Map<string, number[]>()
  snapshots.forEach(({ digest }, index) => {
    if (digest === null) return
    const same = byDigest.get(digest)
    if (same === undefined) byDigest.set(digest, [index])
    else same.push(index)
  })
  return Int32Array.from(snapshots, ({ parent }) => {
    const found = parent === null ? undefined : byDigest.get(parent.digest)
    return found?.find((index) => snapshots[index]?.name === parent?.name) ?? found?.[0] ?? -1
  })
}

const UNKNOWN = -1
/** In the place of a depth: on the way that is being followed. */
const FOLLOWED = -2

/**
 * Places every snapshot once. Real headers cannot name each other in a circle, as each holds its parent's SHA-256; should
 * they seem to, the circle is opened at one of them.
 */
export const placeAll = (snapshots: readonly Placeable[]): readonly Place[] => {
  const parents = parentsOf(snapshots)
  const isCut = new Uint8Array(snapshots.length)
  /** How many snapshots a chain has above each. */
  const depths = new Int32Array(snapshots.length).fill(UNKNOWN)
  for (let start = 0; start < snapshots.length; start++) {
    const way: number[] = []
    let at = start
    while (at !== -1 && depths[at] === UNKNOWN) {
      depths[at] = FOLLOWED
      way.push(at)
      at = parents[at] as number
    }
    let depth = at === -1 || depths[at] === FOLLOWED ? -1 : (depths[at] as number)
    const closesCircle = at !== -1 && depths[at] === FOLLOWED
    for (const [steps, index] of way.reverse().entries()) {
      depth += 1
      if (depth === MAXIMUM_LINKS || (closesCircle && steps === 0)) {
        isCut[index] = 1
        depth = 0
      }
      depths[index] = depth
    }
  }
  return snapshots.map(({ parent }, index): Place => {
    if (parent === null) return { top: "full" }
    if (isCut[index] === 1) return { top: "chain too long" }
    const under = parents[index] as number
    return under === -1 ? { top: "parent missing" } : { under }
  })
}
