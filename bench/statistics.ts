/** Medians, because a machine with other work has outliers in one direction only. */

export interface Summary {
  readonly median: number
  /** The quartiles: half of all runs lie between them. */
  readonly lower: number
  readonly upper: number
}

const quantile = (sorted: readonly number[], part: number): number => {
  const position = (sorted.length - 1) * part
  const below = sorted[Math.floor(position)]!
  const above = sorted[Math.ceil(position)]!
  return below + (above - below) * (position - Math.floor(position))
}

/** @param values at least one */
export const summarize = (values: readonly number[]): Summary => {
  const sorted = [...values].sort((one, other) => one - other)
  return { median: quantile(sorted, 0.5), lower: quantile(sorted, 0.25), upper: quantile(sorted, 0.75) }
}
