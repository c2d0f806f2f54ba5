/** The memory map that a guest is given at boot, in the types of the BIOS call E820 (ACPI 6.5, section 15). */
import { BASE_MEMORY_END, HIGH_MEMORY_START, MP_TABLE_ADDRESS, memoryRegions } from "../layout.ts"

export const E820_RAM = 1
export const E820_RESERVED = 2

export interface E820Entry {
  readonly address: number
  readonly size: number
  readonly type: typeof E820_RAM | typeof E820_RESERVED
}

/**
 * The map of a machine with `memoryBytes` bytes of RAM. The last KiB of base memory is reserved for the multiprocessor
 * table; 640 KiB to 1 MiB is left out, as on a PC, although there is RAM behind it.
 */
export const e820Map = (memoryBytes: number): readonly E820Entry[] => [
  { address: 0, size: MP_TABLE_ADDRESS, type: E820_RAM },
  { address: MP_TABLE_ADDRESS, size: BASE_MEMORY_END - MP_TABLE_ADDRESS, type: E820_RESERVED },
  ...memoryRegions(memoryBytes).map(({ guestAddress, size }): E820Entry => {
    const address = Math.max(guestAddress, HIGH_MEMORY_START)
    return { address, size: guestAddress + size - address, type: E820_RAM }
  }),
]
