/**
 * Where things are in the guest-physical address space and among the interrupt lines.
 *
 * RAM goes from 0 to 3 GiB and on from 4 GiB; the gap between holds the virtio-mmio windows, the I/O APIC, the local
 * APICs and what KVM itself takes at its end. Everything the guest is told at boot lies below 1 MiB, where Linux looks
 * for it (Documentation/arch/x86/boot.rst, "Memory Layout").
 */

import { MMIO_SIZE } from "../devices/virtio/constants.ts"

export const PAGE_SIZE = 0x1000

const GIB = 2 ** 30

/** The hole in RAM for memory-mapped devices: 3 GiB to 4 GiB. */
export const MMIO_GAP_START = 3 * GIB
export const MMIO_GAP_END = 4 * GIB

/** A run of guest-physical addresses that is RAM. */
export interface MemoryRegion {
  readonly guestAddress: number
  readonly size: number
}

/** The runs of RAM of a machine with `memoryBytes` bytes of it, in order of their addresses. */
export const memoryRegions = (memoryBytes: number): readonly MemoryRegion[] => {
  const below = { guestAddress: 0, size: Math.min(memoryBytes, MMIO_GAP_START) }
  const rest = memoryBytes - below.size
  return rest > 0 ? [below, { guestAddress: MMIO_GAP_END, size: rest }] : [below]
}

/** End of the RAM below the gap: what a boot loader, that thinks in 32 bits, may use. */
export const lowMemoryEnd = (memoryBytes: number): number => Math.min(memoryBytes, MMIO_GAP_START)

// Boot structures, all in RAM below 640 KiB.

/** Global descriptor table of the boot processor. */
export const GDT_ADDRESS = 0x500
/** Interrupt descriptor table, empty: Linux loads its own before it enables interrupts. */
export const IDT_ADDRESS = 0x520
/** `struct hvm_start_info`, its module list and its memory map (PVH only). */
export const PVH_START_INFO_ADDRESS = 0x6000
export const PVH_MODULE_LIST_ADDRESS = 0x6040
export const PVH_MEMORY_MAP_ADDRESS = 0x6080
/** `struct boot_params`, one page (64-bit boot protocol only). */
export const ZERO_PAGE_ADDRESS = 0x7000
/** Top of a small stack for the first instructions of a kernel that has none yet. */
export const BOOT_STACK_POINTER = 0x8ff0
/** Page-map level 4 table, page-directory-pointer table, page directory: one page each (64-bit boot protocol only). */
export const PML4_ADDRESS = 0x9000
export const PDPT_ADDRESS = 0xa000
export const PAGE_DIRECTORY_ADDRESS = 0xb000
/** What those page tables map, address to address: the first GiB, where a kernel must therefore lie. */
export const IDENTITY_MAPPED = GIB
/** The kernel command line with its NUL. */
export const COMMAND_LINE_ADDRESS = 0x20000
/** Multiprocessor table: the last KiB of base memory, one of the places Linux searches (MPS 1.4, section 4). */
export const MP_TABLE_ADDRESS = 0x9fc00
/** End of base memory, 640 KiB: the video memory and ROMs of a PC follow. */
export const BASE_MEMORY_END = 0xa0000
/** Where RAM goes on after them, and the lowest address a kernel may be loaded at. */
export const HIGH_MEMORY_START = 0x100000

// Fixed devices.

export const IO_APIC_ADDRESS = 0xfec00000
export const LOCAL_APIC_ADDRESS = 0xfee00000
/** Input pins of KVM's I/O APIC (`KVM_IOAPIC_NUM_PINS`); GSI n is pin n. */
export const IO_APIC_PINS = 24

/** First serial port: eight registers at this port. */
export const COM1_PORT = 0x3f8
export const COM1_GSI = 4
/** Keyboard controller: data and command port. */
export const I8042_DATA_PORT = 0x60
export const I8042_COMMAND_PORT = 0x64

// virtio-mmio.

export const VIRTIO_MMIO_BASE = 0xd0000000

/** GSIs for virtio devices: 0-4 are the PC's timer, keyboard, cascade and serial ports, 8 its real-time clock. */
const VIRTIO_GSIS: readonly number[] = [5, 6, 7, ...Array.from({ length: IO_APIC_PINS - 9 }, (_, index) => index + 9)]

/** As many virtio-mmio devices as there are interrupt lines for. */
export const MAX_VIRTIO_DEVICES = VIRTIO_GSIS.length

/** Window and interrupt line of one virtio-mmio device. */
export interface VirtioSlot {
  readonly index: number
  readonly address: number
  readonly size: number
  readonly gsi: number
}

/** The window and line of the virtio device at `index`, 0 to {@link MAX_VIRTIO_DEVICES} - 1. */
export const virtioSlot = (index: number): VirtioSlot => {
  const gsi = VIRTIO_GSIS[index]
  if (gsi === undefined) throw new RangeError(`no virtio-mmio slot ${index}; there are ${MAX_VIRTIO_DEVICES}`)
  return { index, address: VIRTIO_MMIO_BASE + index * MMIO_SIZE, size: MMIO_SIZE, gsi }
}
