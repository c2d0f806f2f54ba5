/**
 * Guest memory statistics, virtio 1.2 section 5.5.6.3: pairs of a 16-bit tag and a 64-bit value, packed.
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import type { Virtqueue } from "../virtio/queue.ts"

/** The name of each tag, its number being the index; 10 to 15 come from Linux 6.12 on. */
export const statisticNames = [
  "swapIn",
  "swapOut",
  "majorFaults",
  "minorFaults",
  "freeMemory",
  "totalMemory",
  "availableMemory",
  "diskCaches",
  "hugetlbAllocations",
  "hugetlbFailures",
  "oomKills",
  "allocationStalls",
  "asyncScans",
  "directScans",
  "asyncReclaims",
  "directReclaims",
] as const
export type StatisticName = (typeof statisticNames)[number]

/**
 * What the guest says of its memory. Sizes and the swap figures are in bytes, the others are counts since the guest
 * booted; numbers are exact up to 2^53. What the guest has never told is left out.
 */
export type BalloonStatistics = { readonly [Name in StatisticName]?: number } & {
  /** Readings so far, this one included. */
  readonly readings: number
  /** Values whose tag is not known here, by tag. */
  readonly unknown: ReadonlyMap<number, bigint>
}

const STATISTIC_BYTES = 10
/** Longest buffer that is read. */
export const MAX_STATISTICS_BYTES = 256 * STATISTIC_BYTES
/** Unknown tags that are kept; more are counted only. */
export const MAX_UNKNOWN_TAGS = 64

/** Counts of one reading. */
export interface Reading {
  readonly values: number
  readonly unknownTags: number
  /** The buffer was empty, too long, or ended in part of a value. */
  readonly malformed: boolean
}

export interface TaggedValue {
  readonly tag: number
  readonly value: bigint
}

const listed = (values: ReadonlyMap<number, bigint>): TaggedValue[] =>
  [...values].map(([tag, value]) => ({ tag, value })).sort((one, other) => one.tag - other.tag)

const mapped = (values: readonly TaggedValue[]): Map<number, bigint> =>
  new Map(values.map(({ tag, value }) => [tag, value]))

/** The latest value of every tag. */
export class StatisticsValues {
  readings = 0
  #known = new Map<number, bigint>()
  #unknown = new Map<number, bigint>()
  readonly #scratch = new Uint8Array(MAX_STATISTICS_BYTES)
  readonly #view = new DataView(this.#scratch.buffer)

  /** Reads the chain popped last. A tag that is absent keeps its value. */
  read(queue: Virtqueue, memory: GuestMemory): Reading {
    const bytes = queue.readableBytes
    if (bytes === 0 || bytes > MAX_STATISTICS_BYTES) return { values: 0, unknownTags: 0, malformed: true }
    let taken = 0
    for (let index = 0; index < queue.readableSegments; index++) {
      const from = memory.bytes(queue.segmentAddress[index]!, queue.segmentLength[index]!)
      if (from === undefined) break
      this.#scratch.set(from, taken)
      taken += from.length
    }
    let unknownTags = 0
    const values = Math.floor(taken / STATISTIC_BYTES)
    for (let index = 0; index < values; index++) {
      const tag = this.#view.getUint16(STATISTIC_BYTES * index, true)
      const value = this.#view.getBigUint64(STATISTIC_BYTES * index + 2, true)
      if (tag < statisticNames.length) this.#known.set(tag, value)
      else {
        unknownTags++
        if (this.#unknown.has(tag) || this.#unknown.size < MAX_UNKNOWN_TAGS) this.#unknown.set(tag, value)
      }
    }
    if (values > 0) this.readings++
    return { values, unknownTags, malformed: taken % STATISTIC_BYTES !== 0 || taken !== bytes }
  }

  clear(): void {
    this.load([], [])
  }

  load(known: readonly TaggedValue[], unknown: readonly TaggedValue[]): void {
    this.#known = mapped(known)
    this.#unknown = mapped(unknown)
    this.readings = 0
  }

  /** In order of their tags. */
  known(): readonly TaggedValue[] {
    return listed(this.#known)
  }

  unknown(): readonly TaggedValue[] {
    return listed(this.#unknown)
  }

  /** The values by name; `undefined` before there are any. */
  latest(): BalloonStatistics | undefined {
    if (this.#known.size === 0 && this.#unknown.size === 0) return undefined
    const named = [...this.#known].map(([tag, value]) => [statisticNames[tag], Number(value)] as const)
    const byName: { readonly [Name in StatisticName]?: number } = Object.fromEntries(named)
    return { ...byName, readings: this.readings, unknown: new Map(this.#unknown) }
  }
}
