/** Waiting for a guest to boot, with something to look at meanwhile. */
import type { MicroVm } from "../../index.ts"
import { LiveLine } from "../output/live-line.ts"
import { ConsoleTail } from "./console-tail.ts"
import { say } from "./say.ts"

/**
 * Waits until the guest's agent answers. A guest that does not come up leaves the end of its console on stderr.
 * @returns what the agent said of itself
 */
export const awaitAgent = async (vm: MicroVm, activity: string, signal: AbortSignal) => {
  await using tail = new ConsoleTail(vm.console.output)
  using _line = new LiveLine(activity, () => tail.last)
  try {
    return await vm.guest.ready({ signal })
  } catch (error) {
    _line.stop()
    if (!signal.aborted && tail.lines.length > 0) {
      say("the guest's console ends with")
      for (const line of tail.lines) process.stderr.write(`  | ${line}\n`)
    }
    throw error
  }
}
