/** What the serial port counts. */
export interface SerialMetrics {
  /** Bytes that the guest sent, and that it took. */
  transmittedBytes: number
  receivedBytes: number
  /** Interrupts raised. */
  interrupts: number
  /** Bytes lost in the receive FIFO. Only a guest in loopback can do that: input from the host waits for room. */
  overruns: number
}

export const makeSerialMetrics = (): SerialMetrics => ({
  transmittedBytes: 0,
  receivedBytes: 0,
  interrupts: 0,
  overruns: 0,
})
