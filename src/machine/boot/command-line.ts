/** The kernel command line: put together, checked, and placed in guest memory. */
import * as Data from "effect/Data"
import type { GuestMemory } from "../../memory/guest-memory.ts"
import { COMMAND_LINE_ADDRESS, type VirtioSlot } from "../layout.ts"

/** A kernel command line that no kernel would read as it was meant. */
export class CommandLineInvalid extends Data.TaggedError("CommandLineInvalid")<{
  readonly message: string
}> {
  readonly code = "CRYOVM_COMMAND_LINE_INVALID"
}

/** `COMMAND_LINE_SIZE` of Linux on x86, NUL included. */
export const COMMAND_LINE_SIZE = 2048

/**
 * What a kernel is told unless the configuration says otherwise: a serial console, a reset through the keyboard
 * controller (which the monitor sees) when it reboots or panics, and no search for hardware that is not there.
 */
export const DEFAULT_COMMAND_LINE =
  "console=ttyS0 quiet reboot=k panic=1 nomodule i8042.noaux i8042.nomux i8042.dumbkbd"

/** How Linux is told of a virtio-mmio device where there is no ACPI (Documentation/admin-guide, `virtio_mmio.device`). */
export const virtioArgument = (slot: VirtioSlot): string =>
  `virtio_mmio.device=${slot.size / 1024}K@0x${slot.address.toString(16)}:${slot.gsi}`

/**
 * The whole command line.
 * @param base the default one, or the one that replaces it
 * @param limit longest one the kernel takes, without its NUL
 * @throws CommandLineInvalid
 */
export const makeCommandLine = (
  base: string,
  extra: string | undefined,
  slots: readonly VirtioSlot[],
  limit = COMMAND_LINE_SIZE - 1,
): string => {
  // After "--" everything belongs to init: arguments for the kernel have to come before it.
  const [kernelArguments = "", ...initArguments] = [base, extra ?? ""]
    .filter((part) => part.trim() !== "")
    .join(" ")
    .split(/(?:^|\s)--(?=\s|$)/)
  const devices = slots.map(virtioArgument)
  const kernelPart = [kernelArguments.trim(), ...devices].filter((part) => part !== "").join(" ")
  const line = initArguments.length === 0 ? kernelPart : `${kernelPart} -- ${initArguments.join(" ").trim()}`
  checkCommandLine(line, limit)
  return line
}

/** @throws CommandLineInvalid */
export const checkCommandLine = (line: string, limit = COMMAND_LINE_SIZE - 1): void => {
  for (let index = 0; index < line.length; index++) {
    const unit = line.charCodeAt(index)
    if (unit >= 0x20 && unit < 0x7f) continue
    throw new CommandLineInvalid({
      message: `the kernel command line has the character U+${unit.toString(16).padStart(4, "0")} at ${index}; it may hold printable ASCII only, on one line`,
    })
  }
  const longest = Math.min(limit, COMMAND_LINE_SIZE - 1)
  if (line.length > longest) {
    throw new CommandLineInvalid({
      message: `the kernel command line is ${line.length} bytes long with the devices' arguments, and the kernel takes ${longest}; shorten commandLine or extraCommandLine`,
    })
  }
}

/** Writes the command line with its NUL at {@link COMMAND_LINE_ADDRESS}. */
export const writeCommandLine = (memory: GuestMemory, line: string): void => {
  const target = memory.bytes(COMMAND_LINE_ADDRESS, line.length + 1)
  if (target === undefined) throw new CommandLineInvalid({ message: "there is no RAM for the kernel command line" })
  target.set(new TextEncoder().encode(line))
  target[line.length] = 0
}
