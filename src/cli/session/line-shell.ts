/**
 * A shell of lines over the guest's agent: each line is a program of its own (`/bin/sh -c`), and only the working
 * directory goes from one to the next. There is no terminal in the guest, so nothing that draws on one can run.
 */
import { createInterface, type Interface } from "node:readline"
import type { MicroVm } from "../../index.ts"
import { parseLine } from "./guest-lines.ts"
import { GuestOutput } from "./guest-output.ts"
import { releaseInput } from "./release-input.ts"
import { say } from "./say.ts"
import { type SnapshotTarget, savedText } from "./snapshot-target.ts"

const HELP = `each line is run by /bin/sh in the guest, without a terminal of its own
  cd DIR          changes the working directory of the lines after it
  :snapshot [DIR] saves the guest
  :help           this
  exit [CODE]     ends (or Ctrl-D); Ctrl-C ends a command that runs`

class LineShell {
  /** Of the last line. */
  exitCode = 0
  readonly output = new GuestOutput()
  readonly #vm: MicroVm
  readonly #target: SnapshotTarget
  readonly #signal: AbortSignal
  #directory = "/"
  #running: AbortController | undefined

  constructor(vm: MicroVm, target: SnapshotTarget, signal: AbortSignal) {
    this.#vm = vm
    this.#target = target
    this.#signal = signal
  }

  get prompt(): string {
    return `${this.#directory === "/" ? "" : `${this.#directory} `}sh> `
  }

  /** Ends the command that runs. @returns whether there was one */
  interrupt(): boolean {
    this.#running?.abort()
    return this.#running !== undefined
  }

  /** @returns whether the shell goes on */
  async perform(text: string): Promise<boolean> {
    const line = parseLine(text)
    switch (line.type) {
      case "empty":
        return true
      case "exit":
        this.exitCode = line.code ?? this.exitCode
        return false
      case "help":
        say(HELP)
        return true
      case "unknown":
        say(`there is no ":${line.name}"; ":help" shows what there is`)
        return true
      case "snapshot":
        await this.#snapshot(line.dir)
        return true
      case "directory":
        await this.#interruptibly((signal) => this.#changeDirectory(line.command, signal))
        return true
      case "run":
        await this.#interruptibly((signal) => this.#run(line.command, signal))
        return true
    }
  }

  async #run(command: string, signal: AbortSignal): Promise<void> {
    const { exitCode } = await this.#vm.guest.exec(command, {
      cwd: this.#directory,
      collectOutput: false,
      onStdout: this.output.onStdout,
      onStderr: this.output.onStderr,
      signal,
    })
    this.exitCode = exitCode
  }

  async #changeDirectory(command: string, signal: AbortSignal): Promise<void> {
    const options = { cwd: this.#directory, onStderr: this.output.onStderr, signal }
    const { exitCode, stdout } = await this.#vm.guest.exec(`${command} && pwd`, options)
    this.exitCode = exitCode
    if (exitCode === 0) this.#directory = stdout.replace(/\n$/, "")
  }

  /** Ctrl-C ends the command and not the shell. */
  async #interruptibly(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const running = new AbortController()
    this.#running = running
    try {
      await work(AbortSignal.any([this.#signal, running.signal]))
    } catch (error) {
      if (this.#signal.aborted || !running.signal.aborted) throw error
      this.exitCode = 130
    } finally {
      this.#running = undefined
    }
  }

  async #snapshot(dir: string | undefined): Promise<void> {
    try {
      say(savedText(await this.#target.save(this.#vm, this.#signal, dir)))
      this.exitCode = 0
    } catch (error) {
      this.#signal.throwIfAborted()
      // The guest goes on all the same, and so does the session.
      say(error instanceof Error ? error.message : String(error))
      this.exitCode = 1
    }
  }
}

/** Lines as they come; ends with the input, and when `signal` is aborted. */
const linesOf = async function* (lines: Interface, shell: LineShell, signal: AbortSignal): AsyncGenerator<string> {
  const waiting: string[] = []
  let isClosed = false
  let wake = () => {}
  lines.on("line", (line) => {
    waiting.push(line)
    wake()
  })
  const close = () => {
    isClosed = true
    wake()
  }
  lines.on("close", close)
  signal.addEventListener("abort", close, { once: true })
  for (;;) {
    const line = waiting.shift()
    if (line !== undefined) {
      yield line
      continue
    }
    if (isClosed || signal.aborted) return
    if (process.stdin.isTTY) {
      // The prompt begins with clearing its line.
      shell.output.endLine()
      lines.setPrompt(shell.prompt)
      lines.prompt()
    }
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
}

/**
 * Reads lines and runs them until "exit", the end of input, or the end of the guest.
 * @returns the exit code of the last line, and whether the guest ended meanwhile
 */
export const runLineShell = async (
  vm: MicroVm,
  target: SnapshotTarget,
  signal: AbortSignal,
): Promise<{ readonly exitCode: number; readonly guestEnded: boolean }> => {
  const leaving = new AbortController()
  const either = AbortSignal.any([signal, leaving.signal])
  const shell = new LineShell(vm, target, either)
  const isTerminal = process.stdin.isTTY
  const lines = createInterface({ input: process.stdin, output: process.stdout, terminal: isTerminal })
  lines.on("SIGINT", () => {
    if (shell.interrupt()) return
    process.stdout.write("^C\n")
    // Forgets what was typed so far.
    lines.write(null, { ctrl: true, name: "e" })
    lines.write(null, { ctrl: true, name: "u" })
    lines.prompt()
  })
  const session = async (): Promise<boolean> => {
    try {
      for await (const line of linesOf(lines, shell, either)) {
        if (!(await shell.perform(line))) break
      }
      return false
    } catch (error) {
      // A line that ends the guest does not get an answer.
      if (vm.state !== "stopped" && vm.state !== "failed") throw error
      await vm.stopped({ signal: either })
      return true
    }
  }
  if (isTerminal) say(`a shell of lines in the guest; ":help" tells more, Ctrl-D ends`)
  try {
    const guestEnded = await Promise.race([session(), vm.stopped({ signal: either }).then(() => true)])
    signal.throwIfAborted()
    return { exitCode: shell.exitCode, guestEnded }
  } finally {
    leaving.abort()
    lines.close()
    releaseInput()
    if (isTerminal) process.stdout.write("\n")
  }
}
