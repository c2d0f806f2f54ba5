/** The embedded guest, and whether a machine can be made of it. */
import { loadEmbeddedGuest } from "../../guest/embedded.ts"
import { type EmbeddedGuestDamaged, MicroVm } from "../../index.ts"
import { run } from "../../promise.ts"
import { formatBytes, formatDuration } from "../output/format.ts"
import { type Check, check, messageOf } from "./check.ts"

export const checkGuest = async (signal: AbortSignal): Promise<Check> => {
  try {
    const { kernelVersion, kernel, initramfs } = await run(loadEmbeddedGuest, { signal })
    return check(
      "guest",
      "embedded guest",
      true,
      `Linux ${kernelVersion}, ${formatBytes(kernel.length)} kernel, ${formatBytes(initramfs.length)} initramfs`,
    )
  } catch (error) {
    signal.throwIfAborted()
    const { cause } = error as EmbeddedGuestDamaged
    return check("guest", "embedded guest", false, messageOf(cause ?? error), { remedy: "install the package again" })
  }
}

/** The proof of all the others: capabilities tell nothing of a sandbox or a quota that forbids machines. */
export const checkMachine = async (signal: AbortSignal): Promise<Check> => {
  const began = performance.now()
  try {
    const vm = await MicroVm.create({}, { signal })
    await vm.stop()
    const milliseconds = performance.now() - began
    return check("machine", "a machine", true, `can be made (${formatDuration(milliseconds)})`, { value: milliseconds })
  } catch (error) {
    signal.throwIfAborted()
    return check("machine", "a machine", false, messageOf(error), { remedy: "put right what is above first" })
  }
}
