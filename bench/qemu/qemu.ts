/** A QEMU with the guest of guest/guest.S in a machine as small as ours: microvm, one processor, a serial port. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { rmSync } from "node:fs"
import type { Socket } from "node:net"
import { join } from "node:path"
import { guestKernel } from "../build.ts"
import { guestCommand, type Operation } from "../guest.ts"
import { connectWhenThere, Qmp } from "./qmp.ts"

const program = "qemu-system-x86_64"

/** Its version, where it is installed. */
export const qemuVersion = (): string | undefined => {
  const { stdout } = spawnSync(program, ["--version"], { encoding: "utf8" })
  return /version (\S+)/.exec(stdout ?? "")?.[1]
}

export interface QemuOptions {
  readonly memoryMib: number
  /** For its sockets. */
  readonly folder: string
  /** Waits for a `migrate-incoming`, and is paused then. */
  readonly incoming?: boolean
  /** A file of guest memory, shared or mapped privately; anonymous memory without it. */
  readonly memoryFile?: { readonly path: string; readonly share: boolean }
  /** Becomes its file descriptor 3. */
  readonly fd?: number
}

const memoryArguments = ({ memoryMib, memoryFile }: QemuOptions): readonly string[] => {
  if (memoryFile === undefined) return []
  const { path, share } = memoryFile
  const object = `memory-backend-file,id=ram,size=${memoryMib}M,mem-path=${path},share=${share ? "on" : "off"}`
  return ["-object", object, "-machine", "memory-backend=ram"]
}

export class Qemu implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #serialPath: string
  #qmp: Qmp | undefined
  #serial: Socket | undefined

  private constructor(process: ChildProcess, serialPath: string) {
    this.#process = process
    this.#serialPath = serialPath
  }

  /** Ends when the process takes commands. */
  static async start(options: QemuOptions): Promise<Qemu> {
    const qmpPath = join(options.folder, "qmp")
    const serialPath = join(options.folder, "serial")
    for (const path of [qmpPath, serialPath]) rmSync(path, { force: true })
    const args = [
      ...["-M", "microvm,accel=kvm,rtc=off,auto-kernel-cmdline=off", "-cpu", "host", "-m", `${options.memoryMib}M`],
      ...["-kernel", guestKernel, "-nodefaults", "-no-user-config", "-display", "none"],
      ...["-qmp", `unix:${qmpPath},server=on,wait=off`],
      ...["-chardev", `socket,id=com1,path=${serialPath},server=on,wait=off`, "-serial", "chardev:com1"],
      ...memoryArguments(options),
      ...(options.incoming ? ["-S", "-incoming", "defer"] : []),
    ]
    const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit", options.fd ?? "ignore"] })
    const qemu = new Qemu(child, serialPath)
    try {
      await qemu.#connect(qmpPath, options)
      return qemu
    } catch (error) {
      await qemu[Symbol.asyncDispose]()
      throw error
    }
  }

  async #connect(path: string, { memoryFile }: QemuOptions): Promise<void> {
    const ended = once(this.#process, "exit").then(() => Promise.reject(new Error("QEMU ended at its start")))
    this.#qmp = await Promise.race([Qmp.connect(path), ended])
    await this.qmp.execute("migrate-set-capabilities", {
      capabilities: [
        { capability: "events", state: true },
        // What is in a file need not be read and written.
        { capability: "x-ignore-shared", state: memoryFile !== undefined },
      ],
    })
    // Otherwise it saves no faster than a network that somebody else needs, too.
    await this.qmp.execute("migrate-set-parameters", { "max-bandwidth": 2 ** 50 })
  }

  get qmp(): Qmp {
    return this.#qmp!
  }

  /** Has the guest do something, which must run, and waits until it has. */
  async command(operation: Operation, mib: number): Promise<void> {
    this.#serial ??= await connectWhenThere(this.#serialPath)
    const answered = once(this.#serial, "data")
    this.#serial.write(guestCommand(operation, mib))
    await answered
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#serial?.destroy()
    this.#qmp?.close()
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = once(this.#process, "exit")
    this.#process.kill("SIGKILL")
    await ended
  }
}
