/** What the console device counts. */
export interface ConsoleMetrics {
  /** Bytes that the guest took, in how many of its buffers. */
  receivedBytes: number
  receivedBuffers: number
  /** Bytes that the guest sent, in how many of its buffers. */
  transmittedBytes: number
  transmittedBuffers: number
}

export const makeConsoleMetrics = (): ConsoleMetrics => ({
  receivedBytes: 0,
  receivedBuffers: 0,
  transmittedBytes: 0,
  transmittedBuffers: 0,
})
