/** What the entropy device counts. */
export interface RngMetrics {
  /** Requests served, and bytes given. */
  requests: number
  bytes: number
  /** Requests cut short because they asked for more than is given at once. */
  shortened: number
}

export const makeRngMetrics = (): RngMetrics => ({ requests: 0, bytes: 0, shortened: 0 })
