/** The guest of guest/guest.S, which does to its memory what it is told over its serial port. */
import type { MicroVm, MicroVmConfig } from "../src/index.ts"
import { guestKernel } from "./build.ts"

/** To fill memory, or to write into single pages or runs of 16 pages of what was filled, evenly spread. */
export type Operation = "fill" | "pages" | "runs"

/** Above it, memory lies in two regions, which neither the guest nor the C program knows of. */
const LARGEST_MIB = 3072
/** Below lies the guest itself. */
const FIRST_MIB = 2

/** Size of the guest's machine where the benchmark is told to use so much memory. */
export const guestMib = (memoryMib: number): number => Math.min(memoryMib, LARGEST_MIB)

/** As much as can be filled in a machine of that size. */
export const fillableMib = (machineMib: number): number => machineMib - FIRST_MIB

export const guestConfig = (memoryMib: number): MicroVmConfig => ({
  memoryMib,
  kernel: { path: guestKernel },
  bootProtocol: "pvh",
  initramfs: "none",
  commandLine: "",
  devices: { rng: false, agent: false },
})

/** The bytes that tell the guest what to do to so many MiB. */
export const guestCommand = (operation: Operation, mib: number): Uint8Array =>
  Uint8Array.of(operation.charCodeAt(0), mib & 0xff, mib >> 8)

/** Tells the guest of a machine that runs; each command ends when the guest has done it. */
export class CommandedGuest {
  readonly #vm: MicroVm
  readonly #output: AsyncIterator<Uint8Array>

  /** @param vm whose guest waits for its first command since it was started or restored */
  constructor(vm: MicroVm) {
    this.#vm = vm
    this.#output = vm.console.output[Symbol.asyncIterator]()
  }

  async command(operation: Operation, mib: number): Promise<void> {
    await this.#vm.console.write(guestCommand(operation, mib))
    const { done } = await this.#output.next()
    if (done) throw new Error("the guest has ended")
  }
}
