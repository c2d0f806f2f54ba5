/**
 * Free page reporting, virtio 1.2 section 5.5.6.6: the guest names what it has free, of its own accord, and leaves it
 * alone until the buffer comes back. So every whole page of it can be discarded.
 */
import type { Virtqueue } from "../virtio/queue.ts"
import type { BalloonMetrics } from "./metrics.ts"
import type { PageRanges } from "./page-ranges.ts"

/** Gathers at most about `budget` ranges; their heads go to `heads`. Returns whether the queue has more. */
export const collectReports = (
  queue: Virtqueue,
  ranges: PageRanges,
  heads: number[],
  metrics: BalloonMetrics,
  budget: number,
): boolean => {
  for (let left = budget; left > 0; ) {
    const head = queue.pop()
    if (head < 0) return false
    heads.push(head)
    const named = queue.segments - queue.readableSegments
    if (named === 0) metrics.oddBuffers++
    metrics.reportedRanges += named
    metrics.reportedTrimmedBytes += ranges.addWritable(queue)
    left -= Math.max(named, 1)
  }
  return true
}
