/** A program's output in the guest, handed on as it comes. */

/** The library keeps what a program writes, beside handing it on: this is where a session gives up. */
export const MAXIMUM_OUTPUT = 256 * 2 ** 20

const NEWLINE = 0x0a

export class GuestOutput {
  /** Whether the next thing written begins a line. */
  atLineStart = true

  readonly onStdout = (piece: Uint8Array): void => this.#write(process.stdout, piece)
  readonly onStderr = (piece: Uint8Array): void => this.#write(process.stderr, piece)

  /** Ends a line that was left open. */
  endLine(): void {
    if (!this.atLineStart) process.stdout.write("\n")
    this.atLineStart = true
  }

  #write(stream: NodeJS.WritableStream, piece: Uint8Array): void {
    if (piece.length === 0) return
    stream.write(piece)
    this.atLineStart = piece.at(-1) === NEWLINE
  }
}
