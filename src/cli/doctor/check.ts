/** One thing that `cryovm doctor` looks at. */

/** `warning`: it works without. `missing`: nothing runs here without. */
export type CheckStatus = "ok" | "warning" | "missing"

export interface Check {
  /** Stable, for programs. */
  readonly id: string
  readonly title: string
  readonly status: CheckStatus
  /** What was found. */
  readonly detail: string
  /** What to do about it, where there is something to do. */
  readonly remedy?: string
  /** The number that was found, in plain units. */
  readonly value?: number
}

/** @param remedy given where it is not well */
export const check = (
  id: string,
  title: string,
  isWell: boolean,
  detail: string,
  { remedy, otherwise = "missing", value }: { remedy?: string; otherwise?: "warning" | "missing"; value?: number } = {},
): Check => ({
  id,
  title,
  status: isWell ? "ok" : otherwise,
  detail,
  ...(isWell || remedy === undefined ? {} : { remedy }),
  ...(value === undefined ? {} : { value }),
})

/** What was thrown, in words. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
