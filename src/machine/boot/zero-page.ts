/**
 * `struct boot_params`, the "zero page" that RSI points to in the 64-bit boot protocol
 * (Documentation/arch/x86/zero-page.rst, asm/bootparam.h).
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import { COMMAND_LINE_ADDRESS, ZERO_PAGE_ADDRESS } from "../layout.ts"
import type { LoadedInitramfs } from "../loader/initramfs.ts"
import { bootStructure } from "./boot-memory.ts"
import type { E820Entry } from "./e820.ts"

const BOOT_PARAMS_SIZE = 4096
const E820_ENTRIES = 0x1e8
const SETUP_HEADER = 0x1f1
const BOOT_FLAG = 0x1fe
const HEADER = 0x202
const TYPE_OF_LOADER = 0x210
const LOADFLAGS = 0x211
const RAMDISK_IMAGE = 0x218
const RAMDISK_SIZE = 0x21c
const CMD_LINE_PTR = 0x228
const KERNEL_ALIGNMENT = 0x230
const CMDLINE_SIZE = 0x238
const E820_TABLE = 0x2d0
/** `struct boot_e820_entry`: u64 address, u64 size, u32 type, packed. */
const E820_ENTRY_SIZE = 20

const BOOT_SIGNATURE = 0xaa55
const HDRS = 0x53726448
/** A boot loader without an id of its own. */
const LOADER_UNDEFINED = 0xff
const LOADED_HIGH = 1
const KERNEL_ALIGNMENT_DEFAULT = 0x100_0000

export interface ZeroPage {
  /** Of a bzImage; an ELF kernel has none, and gets the few fields that it reads. */
  readonly setupHeader: Uint8Array | undefined
  /** Length of the command line at {@link COMMAND_LINE_ADDRESS}, without its NUL. */
  readonly commandLineLength: number
  readonly initramfs: LoadedInitramfs | undefined
  readonly memoryMap: readonly E820Entry[]
}

/** Writes the zero page at {@link ZERO_PAGE_ADDRESS}, into memory that is still zero. */
export const writeZeroPage = (memory: GuestMemory, page: ZeroPage): void => {
  const view = bootStructure(memory, ZERO_PAGE_ADDRESS, BOOT_PARAMS_SIZE)
  if (page.setupHeader !== undefined) {
    new Uint8Array(view.buffer, view.byteOffset + SETUP_HEADER).set(page.setupHeader)
  } else {
    view.setUint16(BOOT_FLAG, BOOT_SIGNATURE, true)
    view.setUint32(HEADER, HDRS, true)
    view.setUint32(KERNEL_ALIGNMENT, KERNEL_ALIGNMENT_DEFAULT, true)
    view.setUint32(CMDLINE_SIZE, page.commandLineLength, true)
  }
  view.setUint8(TYPE_OF_LOADER, LOADER_UNDEFINED)
  view.setUint8(LOADFLAGS, view.getUint8(LOADFLAGS) | LOADED_HIGH)
  view.setUint32(CMD_LINE_PTR, COMMAND_LINE_ADDRESS, true)
  if (page.initramfs !== undefined) {
    view.setUint32(RAMDISK_IMAGE, page.initramfs.address, true)
    view.setUint32(RAMDISK_SIZE, page.initramfs.size, true)
  }
  view.setUint8(E820_ENTRIES, page.memoryMap.length)
  page.memoryMap.forEach((entry, index) => {
    const at = E820_TABLE + index * E820_ENTRY_SIZE
    view.setBigUint64(at, BigInt(entry.address), true)
    view.setBigUint64(at + 8, BigInt(entry.size), true)
    view.setUint32(at + 16, entry.type, true)
  })
}
