/** What every command is given. */
export interface CliContext {
  /** Aborted by SIGINT, SIGTERM, SIGHUP and a closed stdout; its reason tells which. */
  readonly signal: AbortSignal
  readonly abort: (reason: unknown) => void
  /** What the chosen command was called with; for the report of its failure. */
  verbose?: boolean
  json?: boolean
  /** What a failure exits with where that is not 1. */
  failureCode?: number
}
