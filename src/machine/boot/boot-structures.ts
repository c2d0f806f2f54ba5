/** Everything a loaded kernel finds in memory at its entry, in one call. */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import type { LoadedInitramfs } from "../loader/initramfs.ts"
import type { LoadedKernel } from "../loader/kernel.ts"
import { writeCommandLine } from "./command-line.ts"
import { e820Map } from "./e820.ts"
import { writeGdt } from "./gdt.ts"
import { writeMpTable } from "./mp-table.ts"
import { writePageTables } from "./page-tables.ts"
import { writePvhStartInfo } from "./pvh.ts"
import { writeZeroPage } from "./zero-page.ts"

export interface BootStructures {
  readonly kernel: LoadedKernel
  readonly initramfs: LoadedInitramfs | undefined
  /** As made by `makeCommandLine`. */
  readonly commandLine: string
  readonly vcpuCount: number
}

/** Writes the command line, the multiprocessor table, the GDT and what the boot protocol asks for, into fresh memory. */
export const writeBootStructures = (memory: GuestMemory, boot: BootStructures): void => {
  const { kernel, initramfs } = boot
  const memoryMap = e820Map(memory.size)
  writeCommandLine(memory, boot.commandLine)
  writeMpTable(memory, boot.vcpuCount)
  if (kernel.protocol === "pvh") {
    writeGdt(memory, 32)
    writePvhStartInfo(memory, { initramfs, memoryMap })
  } else {
    writeGdt(memory, 64)
    writePageTables(memory)
    writeZeroPage(memory, {
      setupHeader: kernel.setupHeader,
      commandLineLength: boot.commandLine.length,
      initramfs,
      memoryMap,
    })
  }
}
