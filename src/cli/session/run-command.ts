/** One command in the guest, for `--exec`. */
import { buffer } from "node:stream/consumers"
import type { ExecResult, MicroVm } from "../../index.ts"
import { UsageError } from "../usage.ts"
import { GuestOutput, MAXIMUM_OUTPUT } from "./guest-output.ts"

const MAXIMUM_INPUT = 512 * 1024

/** Standard input whole; read before a guest is booted for it. */
export const readInput = async (signal: AbortSignal): Promise<Uint8Array> => {
  const giveUp = () => process.stdin.destroy()
  signal.addEventListener("abort", giveUp, { once: true })
  try {
    const bytes = await buffer(process.stdin)
    if (bytes.length <= MAXIMUM_INPUT) return bytes
    throw new UsageError(`--stdin: standard input is ${bytes.length} bytes long, and ${MAXIMUM_INPUT} are the most`)
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener("abort", giveUp)
  }
}

/** @param handOn write the output to our own as it comes */
export const runCommand = (
  vm: MicroVm,
  command: string,
  options: { readonly stdin: Uint8Array | undefined; readonly handOn: boolean; readonly signal: AbortSignal },
): Promise<ExecResult> => {
  const { onStdout, onStderr } = new GuestOutput()
  return vm.guest.exec(command, {
    ...(options.stdin === undefined ? {} : { stdin: options.stdin }),
    ...(options.handOn ? { onStdout, onStderr, collectOutput: false } : { maxOutputBytes: MAXIMUM_OUTPUT }),
    signal: options.signal,
  })
}
