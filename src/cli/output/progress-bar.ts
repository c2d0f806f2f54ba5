/** How far work on a snapshot has come, on standard error where that is a terminal. */
import cliProgress from "cli-progress"
import type { DumpProgress } from "../../index.ts"
import { formatBytes } from "./format.ts"

export class ProgressBar implements Disposable {
  readonly #activity: string
  #bar: cliProgress.SingleBar | undefined
  #ended = false

  /** @param activity what is under way, for example `saving` */
  constructor(activity: string) {
    this.#activity = activity
  }

  /** Give it to an operation, or call it with what another process told. */
  readonly onProgress = ({ doneBytes, totalBytes }: DumpProgress): void => {
    if (this.#ended || !process.stderr.isTTY) return
    const done = formatBytes(doneBytes)
    if (this.#bar === undefined) {
      this.#bar = new cliProgress.SingleBar(
        {
          format: `${this.#activity} {bar} {percentage}%  {done} of ${formatBytes(totalBytes)}`,
          stream: process.stderr,
          barsize: 30,
          hideCursor: true,
          clearOnComplete: true,
          // Signals are handled in one place, which ends this with all else.
          gracefulExit: false,
        },
        cliProgress.Presets.shades_classic,
      )
      this.#bar.start(totalBytes, doneBytes, { done })
    } else this.#bar.update(doneBytes, { done })
  }

  /** Takes the bar away. */
  stop(): void {
    this.#ended = true
    this.#bar?.stop()
    this.#bar = undefined
  }

  [Symbol.dispose](): void {
    this.stop()
  }
}
