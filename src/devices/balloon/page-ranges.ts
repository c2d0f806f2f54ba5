/** Ranges of guest memory that the driver names as buffers, cut down to the whole pages in them. */
import type { Virtqueue } from "../virtio/queue.ts"
import { BALLOON_PAGE_SIZE } from "./constants.ts"

export class PageRanges {
  #ranges: { readonly start: number; readonly end: number }[] = []

  get length(): number {
    return this.#ranges.length
  }

  /** Adds the whole pages of a range. Returns the bytes at its ends that are none. */
  add(address: number, length: number): number {
    const start = Math.ceil(address / BALLOON_PAGE_SIZE) * BALLOON_PAGE_SIZE
    const end = Math.floor((address + length) / BALLOON_PAGE_SIZE) * BALLOON_PAGE_SIZE
    if (end <= start) return length
    this.#ranges.push({ start, end })
    return length - (end - start)
  }

  /** Adds what the device may write of the chain popped last. Returns the bytes left out. */
  addWritable(queue: Virtqueue): number {
    let trimmed = 0
    for (let index = queue.readableSegments; index < queue.segments; index++) {
      trimmed += this.add(queue.segmentAddress[index]!, queue.segmentLength[index]!)
    }
    return trimmed
  }

  /** The ranges as pairs of address and length, in order, overlapping and adjacent ones merged; none are left here. */
  take(): Float64Array {
    const ranges = this.#ranges.sort((one, other) => one.start - other.start)
    this.#ranges = []
    const merged: number[] = []
    for (let at = 0; at < ranges.length; ) {
      const { start } = ranges[at]!
      let { end } = ranges[at]!
      for (at++; at < ranges.length && ranges[at]!.start <= end; at++) end = Math.max(end, ranges[at]!.end)
      merged.push(start, end - start)
    }
    return Float64Array.from(merged)
  }
}
