/** How often statistics can be asked for. */

/** Seconds from one reading to the next, where there is polling. */
export const MIN_INTERVAL_SECONDS = 0.1
export const MAX_INTERVAL_SECONDS = 65535

/** Whether `seconds` can be a polling interval: 0, or within the limits. */
export const isInterval = (seconds: number): boolean =>
  seconds === 0 || (seconds >= MIN_INTERVAL_SECONDS && seconds <= MAX_INTERVAL_SECONDS)

export const intervalMs = (seconds: number): number => Math.round(seconds * 1000)
