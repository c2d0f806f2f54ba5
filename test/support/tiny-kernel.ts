/**
 * Kernels of a few bytes, in 64-bit mode, for tests of whole machines that need no Linux: they are up in milliseconds.
 */
import type { MicroVmConfig } from "../../src/index.ts"
import { elfImage } from "./kernel-images.ts"

const ENTRY = 0x100000

/** For every byte that comes in at COM1, adds one to a counter in memory and sends its low byte. */
const COUNTER_CODE = [
  ...[0x66, 0xba, 0xfd, 0x03], // 00: mov dx, 0x3fd (LSR)
  ...[0xec], // 04: in al, dx
  ...[0xa8, 0x01], // 05: test al, 1 (data ready)
  ...[0x74, 0xf7], // 07: jz 00
  ...[0x66, 0xba, 0xf8, 0x03], // 09: mov dx, 0x3f8 (RBR, THR)
  ...[0xec], // 0d: in al, dx
  ...[0x48, 0xff, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00], // 0e: inc qword [0x200000]
  ...[0x8a, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00], // 16: mov al, [0x200000]
  ...[0xee], // 1d: out dx, al
  ...[0xeb, 0xe0], // 1e: jmp 00
]

/** The same with its counter above 4 GiB, which it maps first: a page directory at 0xc000, in it a page of 2 MiB. */
const HIGH_COUNTER_CODE = [
  ...[0x48, 0xc7, 0x04, 0x25, 0x20, 0xa0, 0x00, 0x00, 0x03, 0xc0, 0x00, 0x00], // mov qword [0xa020], 0xc003
  ...[0x48, 0xb8, 0x83, 0x00, 0x20, 0x00, 0x01, 0x00, 0x00, 0x00], // mov rax, 4 GiB + 2 MiB | present, writable, large
  ...[0x48, 0x89, 0x04, 0x25, 0x08, 0xc0, 0x00, 0x00], // mov [0xc008], rax
  ...[0x48, 0xbb, 0x00, 0x00, 0x20, 0x00, 0x01, 0x00, 0x00, 0x00], // mov rbx, 4 GiB + 2 MiB
  ...[0x66, 0xba, 0xfd, 0x03], // 00: mov dx, 0x3fd (LSR)
  ...[0xec], // 04: in al, dx
  ...[0xa8, 0x01], // 05: test al, 1 (data ready)
  ...[0x74, 0xf7], // 07: jz 00
  ...[0x66, 0xba, 0xf8, 0x03], // 09: mov dx, 0x3f8 (RBR, THR)
  ...[0xec], // 0d: in al, dx
  ...[0x48, 0xff, 0x03], // 0e: inc qword [rbx]
  ...[0x8a, 0x03], // 11: mov al, [rbx]
  ...[0xee], // 13: out dx, al
  ...[0xeb, 0xea], // 14: jmp 00
]

/** There is no interrupt table to take the fault of `ud2`: a triple fault. */
const TRIPLE_FAULT_CODE = [0x0f, 0x0b]

/** `popcnt` from an address that is no memory: KVM's emulator does not know it. */
export const POPCNT = [0xf3, 0x0f, 0xb8, 0x03]
const INTERNAL_ERROR_CODE = [...[0xbb, 0x00, 0x00, 0x00, 0x10], ...POPCNT]

/** Ends in `hlt` with interrupts off: nothing happens any more. */
const HALT_CODE = [0xf4, 0xeb, 0xfd]

/** Waits for a byte at COM1. */
const AWAIT_BYTE_CODE = [
  ...[0x66, 0xba, 0xfd, 0x03], // 00: mov dx, 0x3fd (LSR)
  ...[0xec], // 04: in al, dx
  ...[0xa8, 0x01], // 05: test al, 1 (data ready)
  ...[0x74, 0xf7], // 07: jz 00
]

/** Pulses the reset line by the keyboard controller once a byte comes. */
const RESET_CODE = [...AWAIT_BYTE_CODE, ...[0xb0, 0xfe], ...[0xe6, 0x64], ...[0xeb, 0xf1]] // mov al, 0xfe; out 0x64, al; jmp 00

/** A triple fault once a byte comes. */
const LATE_FAULT_CODE = [...AWAIT_BYTE_CODE, ...TRIPLE_FAULT_CODE]

const config = (code: readonly number[]): MicroVmConfig => ({
  memoryMib: 32,
  kernel: {
    bytes: elfImage({ entry: ENTRY, segments: [{ physicalAddress: ENTRY, bytes: Uint8Array.from(code) }] }),
  },
  initramfs: "none",
  commandLine: "",
  devices: { rng: false, agent: false },
})

export const counterMachine = config(COUNTER_CODE)
export const tripleFaultMachine = config(TRIPLE_FAULT_CODE)
export const internalErrorMachine = config(INTERNAL_ERROR_CODE)
export const haltMachine = config(HALT_CODE)
export const resetMachine = config(RESET_CODE)
export const lateFaultMachine = config(LATE_FAULT_CODE)

/** The counter with two vCPUs, of which the second waits to be started, and with every device there is. */
export const everyDeviceMachine: MicroVmConfig = {
  ...counterMachine,
  vcpus: 2,
  devices: { balloon: { targetMib: 4, statisticsIntervalSeconds: 3, freePageHinting: true, freePageReporting: true } },
}

/** Memory on both sides of the gap below 4 GiB. */
export const highMemoryMachine: MicroVmConfig = { ...config(HIGH_COUNTER_CODE), memoryMib: 5 * 1024 }
