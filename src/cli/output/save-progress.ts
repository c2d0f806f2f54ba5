/** How far a snapshot's memory has come, on standard error where that is a terminal. */
import cliProgress from "cli-progress"
import type { DumpProgress } from "../../index.ts"
import { formatBytes } from "./format.ts"

export class SaveProgress implements Disposable {
  #bar: cliProgress.SingleBar | undefined
  #ended = false

  /** Give it to `snapshot`, or call it with what another process told. */
  readonly onProgress = ({ doneBytes, totalBytes }: DumpProgress): void => {
    if (this.#ended || !process.stderr.isTTY) return
    const done = formatBytes(doneBytes)
    if (this.#bar === undefined) {
      this.#bar = new cliProgress.SingleBar(
        {
          format: `saving {bar} {percentage}%  {done} of ${formatBytes(totalBytes)}`,
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
