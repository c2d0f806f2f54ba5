/** The terminal attached to a guest's serial console. */
import { once } from "node:events"
import type { MicroVm } from "../../index.ts"
import { EscapeKeys, type Keys } from "./escape-keys.ts"
import { follow } from "./follow.ts"
import { releaseInput } from "./release-input.ts"
import { say } from "./say.ts"
import { type SnapshotTarget, savedText } from "./snapshot-target.ts"

const HELP = "Ctrl-A X ends, Ctrl-A S takes a snapshot, Ctrl-A Ctrl-A types Ctrl-A, Ctrl-A H shows this"

const writeOut = async (piece: Uint8Array, signal: AbortSignal): Promise<void> => {
  if (!process.stdout.write(piece)) await once(process.stdout, "drain", { signal })
}

/** Takes over the keyboard; gives it back as it was. */
class Keyboard implements Disposable {
  readonly #onData: (piece: Buffer) => void
  readonly isTerminal = process.stdin.isTTY

  constructor(onData: (piece: Buffer) => void) {
    this.#onData = onData
    if (this.isTerminal) process.stdin.setRawMode(true)
    process.stdin.on("data", onData)
  }

  [Symbol.dispose](): void {
    process.stdin.off("data", this.#onData)
    if (this.isTerminal) process.stdin.setRawMode(false)
    releaseInput()
  }
}

const saveNow = async (vm: MicroVm, target: SnapshotTarget, signal: AbortSignal): Promise<void> => {
  try {
    say(savedText(await target.save(vm, signal)))
  } catch (error) {
    signal.throwIfAborted()
    // The guest goes on all the same, and so does the session.
    say(error instanceof Error ? error.message : String(error))
  }
}

/**
 * Types for the guest, and carries out what is typed for us, one after the other. The keyboard waits meanwhile, so
 * that nothing piles up here while the guest does not read.
 */
class Typist {
  readonly #vm: MicroVm
  readonly #target: SnapshotTarget
  readonly #signal: AbortSignal
  readonly #escapes = new EscapeKeys()
  #end: () => void = () => {}
  #fail: (error: unknown) => void = () => {}
  #work: Promise<void> = Promise.resolve()
  /** Settles at Ctrl-A X, and rejects when the guest cannot be typed to. */
  readonly ended = new Promise<void>((resolve, reject) => {
    this.#end = resolve
    this.#fail = reject
  })

  constructor(vm: MicroVm, target: SnapshotTarget, signal: AbortSignal) {
    this.#vm = vm
    this.#target = target
    this.#signal = signal
    this.ended.catch(() => {})
  }

  /** Takes what was typed. Where it is not a person who types, every byte is for the guest. */
  take(piece: Buffer): void {
    const all: readonly Keys[] = process.stdin.isTTY ? this.#escapes.feed(piece) : [{ type: "input", bytes: piece }]
    // Ending must not wait for a guest that does not read.
    if (all.some(({ type }) => type === "end")) this.#end()
    process.stdin.pause()
    this.#work = this.#work.then(() => this.#perform(all)).catch(this.#fail)
  }

  async #perform(all: readonly Keys[]): Promise<void> {
    for (const keys of all) {
      if (keys.type === "input") await this.#vm.console.write(keys.bytes, { signal: this.#signal })
      else if (keys.type === "snapshot") await saveNow(this.#vm, this.#target, this.#signal)
      else if (keys.type === "help") say(HELP)
    }
    if (!this.#signal.aborted) process.stdin.resume()
  }
}

/**
 * Shows the console until Ctrl-A X, or until the guest ends.
 * @returns whether the guest ended
 * @throws what the machine failed with, or the reason of `signal`
 */
export const attachConsole = async (vm: MicroVm, target: SnapshotTarget, signal: AbortSignal): Promise<boolean> => {
  const leaving = new AbortController()
  const either = AbortSignal.any([signal, leaving.signal])
  const typist = new Typist(vm, target, either)
  const shown = follow(vm.console.output, (piece) => writeOut(piece, either))
  if (process.stdin.isTTY) say(HELP)
  using _keyboard = new Keyboard((piece) => typist.take(piece))
  try {
    return await Promise.race([
      typist.ended.then(() => false),
      // The end of the output comes with the end of the machine; everything before it has been shown then.
      vm
        .stopped({ signal: either })
        .then(() => shown.ended)
        .then(() => true),
      shown.ended.then(() => new Promise<never>(() => {})),
    ])
  } finally {
    leaving.abort()
    await shown.stop()
  }
}
