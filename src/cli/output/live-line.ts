/** One line on standard error that shows what is being waited for; nothing at all without a terminal. */
import { formatDuration } from "./format.ts"
import { painter } from "./terminal.ts"

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
const INTERVAL_MS = 100
const CLEAR = "\r\u001b[K"

export class LiveLine implements Disposable {
  #timer: NodeJS.Timeout | undefined
  readonly #start = performance.now()
  #frame = 0

  /**
   * @param activity what is under way
   * @param detail asked ten times a second for more to show; has to be printable
   */
  constructor(activity: string, detail: () => string = () => "") {
    if (!process.stderr.isTTY) return
    const paint = painter(process.stderr)
    const draw = () => {
      const elapsed = formatDuration(Math.floor((performance.now() - this.#start) / INTERVAL_MS) * INTERVAL_MS)
      const head = `${FRAMES[this.#frame++ % FRAMES.length]} ${activity} ${elapsed}`
      const room = Math.max(0, process.stderr.columns - head.length - 3)
      process.stderr.write(`${CLEAR}${head}  ${paint("dim", detail().slice(0, room))}`)
    }
    draw()
    this.#timer = setInterval(draw, INTERVAL_MS)
  }

  /** Takes the line away. */
  stop(): void {
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = undefined
    process.stderr.write(CLEAR)
  }

  [Symbol.dispose](): void {
    this.stop()
  }
}
