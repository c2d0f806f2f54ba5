/** What a balloon offers its driver: features, and the queues that come with them. */
import {
  VIRTIO_BALLOON_F_DEFLATE_ON_OOM,
  VIRTIO_BALLOON_F_FREE_PAGE_HINT,
  VIRTIO_BALLOON_F_PAGE_REPORTING,
  VIRTIO_BALLOON_F_STATS_VQ,
} from "./constants.ts"

const PAGES_QUEUE_SIZE = 256
const STATISTICS_QUEUE_SIZE = 16
const HINTING_QUEUE_SIZE = 256
/** Linux reports 32 ranges at once, and asks for a queue of at least as many. */
const REPORTING_QUEUE_SIZE = 64

export interface BalloonOptions {
  /** Default `balloon0`. */
  readonly id?: string
  /** What the guest is asked for from the start, in pages of 4 KiB. */
  readonly targetPages?: number
  /** Offer VIRTIO_BALLOON_F_DEFLATE_ON_OOM: the guest takes pages back before it kills a process for memory. */
  readonly deflateOnOom?: boolean
  /** Offer the statistics queue; on unless told otherwise. */
  readonly statistics?: boolean
  /** Milliseconds from one reading of the statistics to the next; 0, the default, for none. */
  readonly statisticsIntervalMs?: number
  /** Offer free page hinting. See `hinting.ts` for what it relies on. */
  readonly freePageHinting?: boolean
  readonly freePageReporting?: boolean
}

export type QueueRole = "inflate" | "deflate" | "statistics" | "hinting" | "reporting"

/** Section 5.5.2: a queue of a feature that is not offered is not there, and those after it move up. */
export const rolesOf = (options: BalloonOptions): readonly QueueRole[] => [
  "inflate",
  "deflate",
  ...(options.statistics === false ? [] : (["statistics"] as const)),
  ...(options.freePageHinting === true ? (["hinting"] as const) : []),
  ...(options.freePageReporting === true ? (["reporting"] as const) : []),
]

export const queueSizes: Readonly<Record<QueueRole, number>> = {
  inflate: PAGES_QUEUE_SIZE,
  deflate: PAGES_QUEUE_SIZE,
  statistics: STATISTICS_QUEUE_SIZE,
  hinting: HINTING_QUEUE_SIZE,
  reporting: REPORTING_QUEUE_SIZE,
}

export const featuresOf = (options: BalloonOptions): bigint =>
  (options.statistics === false ? 0n : VIRTIO_BALLOON_F_STATS_VQ) |
  (options.deflateOnOom === true ? VIRTIO_BALLOON_F_DEFLATE_ON_OOM : 0n) |
  (options.freePageHinting === true ? VIRTIO_BALLOON_F_FREE_PAGE_HINT : 0n) |
  (options.freePageReporting === true ? VIRTIO_BALLOON_F_PAGE_REPORTING : 0n)
