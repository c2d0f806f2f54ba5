/** The last lines of a serial console: to show that a boot goes on, and to tell why it did not. */
import { stripVTControlCharacters } from "node:util"
import { printable } from "../output/terminal.ts"
import { type Following, follow } from "./follow.ts"

const LINES = 30
const LINE_CHARACTERS = 400

export class ConsoleTail implements AsyncDisposable {
  readonly #decoder = new TextDecoder()
  readonly #lines: string[] = []
  readonly #following: Following
  #partial = ""

  constructor(output: AsyncIterable<Uint8Array>) {
    this.#following = follow(output, (piece) => this.#take(piece))
  }

  /** The lines, oldest first, safe to print. */
  get lines(): readonly string[] {
    return [...this.#lines, this.#partial].map(clean).filter((line) => line !== "")
  }

  /** The newest of them; empty where there is none. */
  get last(): string {
    return this.lines.at(-1) ?? ""
  }

  stop(): Promise<void> {
    return this.#following.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #take(piece: Uint8Array): void {
    const text = this.#partial + this.#decoder.decode(piece, { stream: true })
    const lines = text.split("\n")
    this.#partial = (lines.pop() ?? "").slice(-LINE_CHARACTERS)
    this.#lines.push(...lines.map((line) => line.slice(0, LINE_CHARACTERS)).filter((line) => line.trim() !== ""))
    this.#lines.splice(0, Math.max(0, this.#lines.length - LINES))
  }
}

const clean = (line: string): string => printable(stripVTControlCharacters(line).trim())
