/** Keys that are meant for us and not for the guest: those after Ctrl-A, as in QEMU and minicom. */

const CTRL_A = 1

export type Keys =
  | { readonly type: "input"; readonly bytes: Uint8Array }
  | { readonly type: "end" }
  | { readonly type: "snapshot" }
  | { readonly type: "help" }

const COMMANDS: ReadonlyMap<string, "end" | "snapshot" | "help"> = new Map([
  ["x", "end"],
  ["s", "snapshot"],
  ["h", "help"],
  ["?", "help"],
])

/** Takes typed bytes in pieces of any size. */
export class EscapeKeys {
  #escaped = false

  feed(piece: Uint8Array): readonly Keys[] {
    const keys: Keys[] = []
    let input: number[] = []
    const flush = () => {
      if (input.length > 0) keys.push({ type: "input", bytes: Uint8Array.from(input) })
      input = []
    }
    for (const byte of piece) {
      if (!this.#escaped) {
        if (byte === CTRL_A) this.#escaped = true
        else input.push(byte)
        continue
      }
      this.#escaped = false
      // Ctrl-A twice, or "a" after it, types Ctrl-A.
      if (byte === CTRL_A || byte === 0x61) {
        input.push(CTRL_A)
        continue
      }
      const type = COMMANDS.get(String.fromCharCode(byte).toLowerCase())
      flush()
      keys.push({ type: type ?? "help" })
    }
    flush()
    return keys
  }
}
