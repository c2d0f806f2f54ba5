/** The QEMU Machine Protocol over a Unix socket: a command at a time, and the events in between. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { sendFdProgram } from "../build.ts"

interface Message {
  readonly return?: unknown
  readonly error?: { readonly class: string; readonly desc: string }
  readonly event?: string
  readonly data?: Readonly<Record<string, unknown>>
}

const ATTEMPTS = 2000
const BETWEEN_ATTEMPTS_MS = 5

/** A socket that another process is about to listen on. */
export const connectWhenThere = async (path: string): Promise<Socket> => {
  for (let attempt = 1; ; attempt++) {
    const socket = connect(path)
    try {
      await once(socket, "connect")
      return socket
    } catch (error) {
      if (attempt === ATTEMPTS) throw error
      await sleep(BETWEEN_ATTEMPTS_MS)
    }
  }
}

export class Qmp {
  readonly #socket: Socket
  #onAnswer: (message: Message) => void = () => {}
  #onEvent: (message: Message) => void = () => {}
  #onEnd: () => void = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on("error", () => {}) // told by the end of the lines
    const lines = createInterface({ input: socket })
    lines.on("line", (line) => {
      const message = JSON.parse(line) as Message
      if (message.event === undefined) this.#onAnswer(message)
      else this.#onEvent(message)
    })
    lines.on("close", () => this.#onEnd())
  }

  /** Waits until QEMU is there and ready for commands. */
  static async connect(path: string): Promise<Qmp> {
    const qmp = new Qmp(await connectWhenThere(path))
    await qmp.#answer("greeting", async () => {})
    await qmp.execute("qmp_capabilities")
    return qmp
  }

  async #answer(what: string, send: () => Promise<void>): Promise<unknown> {
    const answer = new Promise<Message>((resolve, reject) => {
      this.#onAnswer = resolve
      this.#onEnd = () => reject(new Error(`QEMU ended at "${what}"`))
    })
    await send()
    const { error, return: value } = await answer
    if (error !== undefined) throw new Error(`QEMU refused "${what}": ${error.desc}`)
    return value
  }

  execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return this.#answer(command, async () => {
      this.#socket.write(JSON.stringify({ execute: command, arguments: args }))
    })
  }

  /** `getfd`: gives QEMU a file descriptor under a name. */
  async giveFile(fd: number, name: string): Promise<void> {
    await this.#answer("getfd", async () => {
      const sender = spawn(sendFdProgram, [], { stdio: ["pipe", "inherit", "inherit", this.#socket, fd] })
      const ended = once(sender, "exit")
      sender.stdin!.end(JSON.stringify({ execute: "getfd", arguments: { fdname: name } }))
      const [code] = await ended
      if (code !== 0) throw new Error("QEMU cannot be given a file")
      // Node.js does not read from what a child process was given.
      this.#socket.resume()
    })
  }

  /** Executes a command that starts a migration, and waits until that is over. */
  async migrate(command: "migrate" | "migrate-incoming", uri: string): Promise<void> {
    const over = new Promise<unknown>((resolve, reject) => {
      this.#onEvent = ({ event, data }) => {
        if (event !== "MIGRATION") return
        if (data?.["status"] === "completed") resolve(undefined)
        if (data?.["status"] === "failed") reject(new Error(`QEMU could not ${command}`))
      }
    })
    await this.execute(command, { uri })
    await over
  }

  close(): void {
    this.#socket.destroy()
  }
}
