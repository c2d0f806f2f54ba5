/** The options that make a machine, for the commands that boot one. */
import { type Command, Option } from "commander"
import type { MicroVmConfig } from "../index.ts"
import { notEmpty, wholeNumber } from "./usage.ts"

export interface MachineOptions {
  readonly memory?: number
  readonly vcpus?: number
  readonly kernel?: string
  readonly initramfs?: string
  readonly append?: string
  readonly label?: string
}

export const addMachineOptions = (command: Command): Command =>
  command
    .addOption(new Option("--memory <MiB>", "memory (default: 128)").argParser(wholeNumber))
    .addOption(new Option("--vcpus <number>", "virtual processors (default: 1)").argParser(wholeNumber))
    .addOption(
      new Option("--kernel <path>", "ELF vmlinux or bzImage (default: the embedded guest's)").argParser(notEmpty),
    )
    .addOption(
      new Option("--initramfs <path>", 'cpio archive, or "none" (default: the embedded guest\'s)').argParser(notEmpty),
    )
    .option("--append <text>", "add to the kernel's command line")
    .option("--label <text>", "a name for the machine, kept in its snapshots")

export const machineConfig = (options: MachineOptions): MicroVmConfig => ({
  ...(options.memory === undefined ? {} : { memoryMib: options.memory }),
  ...(options.vcpus === undefined ? {} : { vcpus: options.vcpus }),
  ...(options.kernel === undefined ? {} : { kernel: { path: options.kernel } }),
  ...(options.initramfs === undefined
    ? {}
    : { initramfs: options.initramfs === "none" ? ("none" as const) : { path: options.initramfs } }),
  ...(options.append === undefined ? {} : { extraCommandLine: options.append }),
  ...(options.label === undefined ? {} : { label: options.label }),
})
