/** From offsets in flat memory, where all regions lie behind each other, to guest-physical addresses. */
import type { GuestRange } from "../../memory/guest-memory.ts"
import type { Manifest } from "../../state/manifest.ts"

/** A part of flat memory, or of a file. */
export interface FlatRange {
  readonly offset: number
  readonly length: number
}

/**
 * The guest memory that parts of flat memory are; what touches becomes one.
 * @param ranges ascending and apart
 */
export const guestRanges = (
  regions: Manifest["memory"]["regions"],
  ranges: Iterable<FlatRange>,
): readonly GuestRange[] => {
  const inOrder = [...regions].sort((a, b) => a.fileOffset - b.fileOffset)
  const found: { guestAddress: number; size: number }[] = []
  for (const { offset, length } of ranges) {
    for (const region of inOrder) {
      const start = Math.max(offset, region.fileOffset)
      const end = Math.min(offset + length, region.fileOffset + region.size)
      if (end <= start) continue
      const guestAddress = region.guestAddress + (start - region.fileOffset)
      const last = found.at(-1)
      if (last !== undefined && last.guestAddress + last.size === guestAddress) last.size += end - start
      else found.push({ guestAddress, size: end - start })
    }
  }
  return found
}
