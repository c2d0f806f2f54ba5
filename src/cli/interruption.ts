/** How the world outside ends a command: signals, and a reader of our output that goes away. */
import { constants } from "node:os"

/** The reason with which everything under way is given up. */
export class Interrupted extends Error {
  override readonly name = "Interrupted"
  readonly exitCode: number
  /** Nothing is to be printed: nobody would read it. */
  readonly silent: boolean

  constructor(cause: NodeJS.Signals) {
    super(cause === "SIGPIPE" ? "nobody reads the output any more" : `interrupted by ${cause}`)
    this.exitCode = 128 + constants.signals[cause]
    this.silent = cause === "SIGPIPE"
  }
}

/**
 * The first signal asks everything to end in order; the same one again ends the process at once. (Another one may
 * come along with the first: Ctrl-C goes to every process of the terminal, and each ends those it has started.)
 */
export const abortOnSignals = (controller: AbortController): void => {
  const seen = new Set<NodeJS.Signals>()
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => {
      const interrupted = new Interrupted(name)
      if (seen.has(name)) process.exit(interrupted.exitCode)
      seen.add(name)
      controller.abort(interrupted)
    })
  }
}

/** Without a listener, writing to a closed pipe would end the process in the midst of things, with a stack trace. */
export const surviveClosedOutput = (controller: AbortController): void => {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    controller.abort(error.code === "EPIPE" ? new Interrupted("SIGPIPE") : error)
  })
  // Nothing can be said about it, and the work goes on.
  process.stderr.on("error", () => {})
}
