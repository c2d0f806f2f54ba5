/** The pages in which the memory of two snapshots can differ, told from their chains without reading any memory. */
import { makeWrittenPages } from "../../memory/written-pages.ts"
import type { Manifest } from "../../state/manifest.ts"
import type { ChainLink } from "../chain/chain.ts"
import { RUN_NUMBERS } from "../runs/runs.ts"
import type { Candidates } from "../save/memory-history.ts"

/** How many of the oldest snapshots two chains share. */
const sharedLinks = (a: readonly ChainLink[], b: readonly ChainLink[]): number => {
  let shared = 0
  while (shared < a.length && a[shared]?.header.digest === b[shared]?.header.digest) shared += 1
  return shared
}

/**
 * Memory that two chains have in common differs only in what the layers above it changed; without anything in common,
 * every page may differ.
 * @param a the full snapshot first, as in `Chain`
 * @param regions of both
 */
export const pagesApart = (
  a: readonly ChainLink[],
  b: readonly ChainLink[],
  regions: Manifest["memory"]["regions"],
): readonly Candidates[] => {
  const shared = sharedLinks(a, b)
  if (shared === 0) return regions.map(() => ({ candidates: "all" }))
  // Runs are of flat memory, and so are these regions.
  const pages = makeWrittenPages(regions.map(({ fileOffset, size }) => ({ guestAddress: fileOffset, size })))
  for (const { runs } of [...a.slice(shared), ...b.slice(shared)]) {
    if (runs === undefined) continue
    for (let at = 0; at < runs.length; at += RUN_NUMBERS) pages.mark(runs[at] as number, runs[at + 1] as number)
  }
  return pages.take().map((candidates) => ({ candidates }))
}
