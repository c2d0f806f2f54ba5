/** A process of the demo's own: the same command with a hidden subcommand, that tells by messages how it goes. */
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { CliContext } from "../context.ts"
import { Interrupted } from "../interruption.ts"
import { describeError, RemoteError } from "../output/describe-error.ts"
import { UsageError } from "../usage.ts"
import { type DemoMessage, LIFE_COMMAND, type Reading } from "./messages.ts"

const MAIN = fileURLToPath(new URL("../main.js", import.meta.url))

/** What a life is to do; the first thing it is told. */
export type LifeOrder =
  | { readonly life: "first"; readonly dir: string }
  | { readonly life: "second"; readonly dir: string; readonly saved: Reading }

/** A process ended in another way than it should, and said nothing of it. */
class LifeEnded extends Error {
  override readonly name = "LifeEnded"
  readonly code = "CRYOVM_DEMO_PROCESS_ENDED"
}

const endOf = (child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> =>
  new Promise((resolve, reject) => {
    child.once("error", reject)
    // Not "exit": messages may still be on their way then.
    child.once("close", (code, signal) => resolve({ code, signal }))
  })

/**
 * Lives a life in a process of its own.
 * @param onMessage what it told, but for its failure
 * @returns the process id, of a process that is gone
 * @throws what it failed with, or the reason of `signal`
 */
export const live = async (
  order: LifeOrder,
  {
    onStart,
    onMessage,
  }: { readonly onStart: (pid: number) => void; readonly onMessage: (message: DemoMessage) => void },
  signal: AbortSignal,
): Promise<number> => {
  signal.throwIfAborted()
  const child = fork(MAIN, [LIFE_COMMAND], { serialization: "advanced", stdio: ["ignore", "ignore", "inherit", "ipc"] })
  const ended = endOf(child)
  let failure: RemoteError | undefined
  child.on("message", (message) => {
    const told = message as DemoMessage
    if (told.type === "failed") failure = new RemoteError(told.error)
    else if (!signal.aborted) onMessage(told)
  })
  const stop = () => child.kill("SIGTERM")
  signal.addEventListener("abort", stop, { once: true })
  try {
    child.send(order)
    onStart(child.pid ?? 0)
    const { code, signal: endedBy } = await ended
    signal.throwIfAborted()
    if (failure !== undefined) throw failure
    if (code !== 0)
      throw new LifeEnded(`the process of the ${order.life} life ended early (${endedBy ?? `exit code ${code}`})`)
    return child.pid ?? 0
  } finally {
    signal.removeEventListener("abort", stop)
  }
}

const nextOrder = (): Promise<LifeOrder> =>
  new Promise((resolve) => {
    process.once("message", (message) => resolve(message as LifeOrder))
  })

/** The other end: what the hidden subcommand does. */
export const liveHere = async (context: CliContext): Promise<void> => {
  const send = process.send?.bind(process)
  if (send === undefined) throw new UsageError(`"cryovm ${LIFE_COMMAND}" is a part of "cryovm demo"`)
  const tell = (message: DemoMessage): void => {
    if (process.connected) send(message)
  }
  // Whoever shows the demo is gone: nothing of it may stay.
  process.once("disconnect", () => context.abort(new Interrupted("SIGTERM")))
  try {
    const order = await nextOrder()
    if (order.life === "first") await (await import("./first-life.ts")).firstLife(order.dir, tell, context.signal)
    else await (await import("./second-life.ts")).secondLife(order.dir, order.saved, tell, context.signal)
  } catch (error) {
    if (!(error instanceof Interrupted)) tell({ type: "failed", error: describeError(error) })
    process.exitCode = error instanceof Interrupted ? error.exitCode : 1
  } finally {
    process.removeAllListeners("disconnect")
    if (process.connected) process.disconnect()
  }
}
