/**
 * What a PVH kernel is given: `struct hvm_start_info` version 1, its module list and memory map
 * (Xen, xen/include/public/arch-x86/hvm/start_info.h). EBX points to it.
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import {
  COMMAND_LINE_ADDRESS,
  PVH_MEMORY_MAP_ADDRESS,
  PVH_MODULE_LIST_ADDRESS,
  PVH_START_INFO_ADDRESS,
} from "../layout.ts"
import type { LoadedInitramfs } from "../loader/initramfs.ts"
import { bootStructure } from "./boot-memory.ts"
import type { E820Entry } from "./e820.ts"

/** "xEn3" with the 0x80 bit of the "E" set. */
export const XEN_HVM_START_MAGIC_VALUE = 0x336ec578

const START_INFO_SIZE = 56
const MODLIST_ENTRY_SIZE = 32
const MEMMAP_ENTRY_SIZE = 24

/** Writes all three; the types of the memory map are those of E820. */
export const writePvhStartInfo = (
  memory: GuestMemory,
  info: { readonly initramfs: LoadedInitramfs | undefined; readonly memoryMap: readonly E820Entry[] },
): void => {
  const start = bootStructure(memory, PVH_START_INFO_ADDRESS, START_INFO_SIZE)
  start.setUint32(0, XEN_HVM_START_MAGIC_VALUE, true)
  start.setUint32(4, 1, true) // version
  start.setUint32(8, 0, true) // flags
  start.setUint32(12, info.initramfs === undefined ? 0 : 1, true) // nr_modules
  start.setBigUint64(16, info.initramfs === undefined ? 0n : BigInt(PVH_MODULE_LIST_ADDRESS), true)
  start.setBigUint64(24, BigInt(COMMAND_LINE_ADDRESS), true)
  start.setBigUint64(32, 0n, true) // rsdp_paddr: no ACPI
  start.setBigUint64(40, BigInt(PVH_MEMORY_MAP_ADDRESS), true)
  start.setUint32(48, info.memoryMap.length, true)
  start.setUint32(52, 0, true)

  if (info.initramfs !== undefined) {
    const module = bootStructure(memory, PVH_MODULE_LIST_ADDRESS, MODLIST_ENTRY_SIZE)
    module.setBigUint64(0, BigInt(info.initramfs.address), true)
    module.setBigUint64(8, BigInt(info.initramfs.size), true)
    module.setBigUint64(16, 0n, true) // cmdline_paddr
    module.setBigUint64(24, 0n, true)
  }

  const map = bootStructure(memory, PVH_MEMORY_MAP_ADDRESS, info.memoryMap.length * MEMMAP_ENTRY_SIZE)
  info.memoryMap.forEach((entry, index) => {
    const at = index * MEMMAP_ENTRY_SIZE
    map.setBigUint64(at, BigInt(entry.address), true)
    map.setBigUint64(at + 8, BigInt(entry.size), true)
    map.setUint32(at + 16, entry.type, true)
    map.setUint32(at + 20, 0, true)
  })
}
