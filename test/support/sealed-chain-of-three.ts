/** A full snapshot and two differences to it, for the tests of what is made of snapshots. */
import { join } from "node:path"
import { flatMemory, type HandMade, type Pages } from "./diff-chain.ts"
import { regions, sealedDiff, sealedFull } from "./sealed-chain.ts"

export interface ChainOfThree {
  readonly base: HandMade
  readonly middle: HandMade
  readonly newest: HandMade
  /** What memory each of them makes up. */
  readonly memoryOf: { readonly base: Uint8Array; readonly middle: Uint8Array; readonly newest: Uint8Array }
}

const BASE: Pages = new Map([
  [0, 1],
  [1, 2],
  [2, 3],
  [300, 4],
  [1000, 5],
])
const MIDDLE: Pages = new Map([
  [1, 6],
  [2, 0],
  [7, 7],
  [301, 8],
  [302, 9],
])
const NEWEST: Pages = new Map([
  [2, 10],
  [7, 0],
  [302, 11],
  [8191, 12],
])

/** Snapshots `base`, `middle` and `newest` in a directory. */
export const chainOfThree = async (under: string): Promise<ChainOfThree> => {
  const base = await sealedFull(join(under, "base"), BASE)
  const middle = await sealedDiff(join(under, "middle"), base, MIDDLE)
  const newest = await sealedDiff(join(under, "newest"), middle, NEWEST)
  return {
    base,
    middle,
    newest,
    memoryOf: {
      base: flatMemory(regions, [BASE]),
      middle: flatMemory(regions, [BASE, MIDDLE]),
      newest: flatMemory(regions, [BASE, MIDDLE, NEWEST]),
    },
  }
}
