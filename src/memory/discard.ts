/**
 * Giving guest memory back to the host: ranges of guest-physical addresses that read as zero afterwards and cost
 * nothing until they are written again. How that is done depends on the mapping and is the native layer's.
 */
import type { NativeMemory } from "../native.ts"

/** A run of guest-physical addresses, and the mapping behind it. */
export interface DiscardRegion {
  readonly guestAddress: number
  readonly size: number
  readonly memory: Pick<NativeMemory, "discard">
}

/** What became of the ranges of one call, in bytes. */
export interface DiscardResult {
  /** Given back to the host. */
  readonly discardedBytes: number
  /** Not among those: what could only be overwritten with zeros, and is still resident. */
  readonly zeroedBytes: number
  /** Not guest memory, and left alone. */
  readonly outsideBytes: number
  /** Guest memory that the host would not take; its content is as it was, or zero. */
  readonly failedBytes: number
  /** The last reason for `failedBytes`. */
  readonly failure: string | undefined
}

/**
 * Discards ranges: pairs of a guest-physical address and a length, both multiples of the page size, in order of their
 * addresses and without overlap. Never throws; the ranges may reach over the end of guest memory or lie outside it.
 */
export type Discard = (ranges: Float64Array) => DiscardResult

/**
 * One native call for each region that a call's ranges touch.
 * @param discarded told of every run that was discarded: for a later diff it counts as written, with zeros
 */
export const makeDiscard = (
  regions: readonly DiscardRegion[],
  discarded?: (address: number, length: number) => void,
): Discard => {
  let scratch = new Float64Array(1024)

  /** Puts the parts of `ranges` inside `region` into the scratch, as offsets. Returns how many numbers. */
  const within = (region: DiscardRegion, ranges: Float64Array): number => {
    const regionEnd = region.guestAddress + region.size
    let used = 0
    for (let at = 0; at + 1 < ranges.length; at += 2) {
      const start = Math.max(ranges[at]!, region.guestAddress)
      const end = Math.min(ranges[at]! + ranges[at + 1]!, regionEnd)
      if (end <= start) continue
      scratch[used++] = start - region.guestAddress
      scratch[used++] = end - start
    }
    return used
  }

  const total = (ranges: Float64Array): number => {
    let bytes = 0
    for (let at = 1; at < ranges.length; at += 2) bytes += ranges[at]!
    return bytes
  }

  return (ranges) => {
    if (scratch.length < ranges.length) scratch = new Float64Array(ranges.length)
    let discardedBytes = 0
    let zeroedBytes = 0
    let failedBytes = 0
    let insideBytes = 0
    let failure: string | undefined
    for (const region of regions) {
      const offsets = scratch.subarray(0, within(region, ranges))
      if (offsets.length === 0) continue
      const bytes = total(offsets)
      insideBytes += bytes
      try {
        const result = region.memory.discard(offsets)
        discardedBytes += result.discardedBytes
        zeroedBytes += result.zeroedBytes
      } catch (cause) {
        failedBytes += bytes
        failure = cause instanceof Error ? cause.message : String(cause)
      }
      // After a failure too: part of the ranges may be gone.
      if (discarded === undefined) continue
      for (let at = 0; at < offsets.length; at += 2) {
        discarded(region.guestAddress + offsets[at]!, offsets[at + 1]!)
      }
    }
    return { discardedBytes, zeroedBytes, outsideBytes: total(ranges) - insideBytes, failedBytes, failure }
  }
}
