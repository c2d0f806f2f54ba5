/** What the balloon device counts. */
export interface BalloonMetrics {
  /** Buffers of the inflate queue, pages named in them, and ranges that they became. */
  inflateBuffers: number
  inflatePages: number
  inflateRanges: number
  /** Buffers of the deflate queue, and pages named in them. */
  deflateBuffers: number
  deflatePages: number
  /** Buffers completed without effect: nothing to read, a length that is no whole number of pages' numbers, or too long. */
  oddBuffers: number
  /** Bytes that were discarded for whatever reason, and bytes that could only be made zero and are still resident. */
  discardedBytes: number
  zeroedBytes: number
  /** Bytes named by the guest that are not its memory, and bytes that the host would not take. */
  outsideBytes: number
  failedBytes: number
  lastFailure: string
  /** Statistics: readings, requests made, unknown tags met, readings that were not what they should be. */
  statisticsReadings: number
  statisticsRequests: number
  statisticsUnknownTags: number
  statisticsMalformed: number
  /** Buffers that came while another was held. */
  statisticsSurplus: number
  /** Free page reporting: ranges, and bytes at their ends that are no whole page. */
  reportedRanges: number
  reportedTrimmedBytes: number
  /** Free page hinting: ranges discarded, ranges of another run or of none, commands of the driver. */
  hintedRanges: number
  hintedIgnored: number
  hintCommands: number
  /** Configuration writes that were not to `actual`. */
  configWritesIgnored: number
}

export const makeBalloonMetrics = (): BalloonMetrics => ({
  inflateBuffers: 0,
  inflatePages: 0,
  inflateRanges: 0,
  deflateBuffers: 0,
  deflatePages: 0,
  oddBuffers: 0,
  discardedBytes: 0,
  zeroedBytes: 0,
  outsideBytes: 0,
  failedBytes: 0,
  lastFailure: "",
  statisticsReadings: 0,
  statisticsRequests: 0,
  statisticsUnknownTags: 0,
  statisticsMalformed: 0,
  statisticsSurplus: 0,
  reportedRanges: 0,
  reportedTrimmedBytes: 0,
  hintedRanges: 0,
  hintedIgnored: 0,
  hintCommands: 0,
  configWritesIgnored: 0,
})
