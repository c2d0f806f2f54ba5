/** Runs the built command in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import type { Readable } from "node:stream"
import { fileURLToPath } from "node:url"

/** In `dist/src/cli`, seen from `dist/test/cli`. */
export const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

/** What comes until the stream ends, or until a test has had enough of it. */
const textOf = async (stream: Readable): Promise<string> => {
  const pieces: Buffer[] = []
  stream.on("data", (piece: Buffer) => pieces.push(piece))
  await once(stream, "close")
  return Buffer.concat(pieces).toString()
}

export interface StartOptions {
  readonly input?: string
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
}

export const start = (args: readonly string[], options: StartOptions = {}): Running => {
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  // The command may end without reading what it is given.
  child.stdin.on("error", () => {})
  child.stdin.end(options.input ?? "")
  const outputs = Promise.all([textOf(child.stdout), textOf(child.stderr)])
  const ended = once(child, "close").then(async ([code, signal]) => {
    const [stdout, stderr] = await outputs
    return { code, signal, stdout, stderr }
  })
  return { child, ended }
}

export const cryovm = (args: readonly string[], options?: StartOptions): Promise<Ended> => start(args, options).ended
