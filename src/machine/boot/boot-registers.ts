/**
 * The boot processor's registers at the kernel's first instruction. Application processors stay as KVM makes them: they
 * wait for the kernel's start-up interrupt.
 */
import type { Regs } from "../kvm/regs.ts"
import type { Sregs } from "../kvm/sregs.ts"
import { BOOT_STACK_POINTER, PML4_ADDRESS, PVH_START_INFO_ADDRESS, ZERO_PAGE_ADDRESS } from "../layout.ts"
import { codeSegment, dataSegment, gdtRegister, idtRegister, taskSegment } from "./gdt.ts"

const CR0_PE = 1n << 0n
const CR0_ET = 1n << 4n
const CR0_NE = 1n << 5n
const CR0_PG = 1n << 31n
const CR4_PAE = 1n << 5n
const EFER_LME = 1n << 8n
const EFER_LMA = 1n << 10n
/** Bit 1 of RFLAGS is always set; interrupts are off. */
const RFLAGS_RESERVED = 2n

const zero: Regs = {
  rax: 0n,
  rbx: 0n,
  rcx: 0n,
  rdx: 0n,
  rsi: 0n,
  rdi: 0n,
  rsp: 0n,
  rbp: 0n,
  r8: 0n,
  r9: 0n,
  r10: 0n,
  r11: 0n,
  r12: 0n,
  r13: 0n,
  r14: 0n,
  r15: 0n,
  rip: 0n,
  rflags: RFLAGS_RESERVED,
}

const stack = BigInt(BOOT_STACK_POINTER)

/**
 * `struct kvm_regs` at the entry: RSI points to the zero page (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"),
 * or EBX to the start info (Xen, docs/misc/pvh.pandoc).
 */
export const bootRegs = (protocol: "linux64" | "pvh", entry: number): Regs =>
  protocol === "linux64"
    ? { ...zero, rip: BigInt(entry), rsi: BigInt(ZERO_PAGE_ADDRESS), rsp: stack, rbp: stack }
    : { ...zero, rip: BigInt(entry), rbx: BigInt(PVH_START_INFO_ADDRESS) }

/**
 * `struct kvm_sregs` at the entry, made of what KVM gives a fresh vCPU: flat segments, and either long mode with paging
 * on, or protected mode with paging off. The local APIC's base and the rest stay.
 */
export const bootSregs = (protocol: "linux64" | "pvh", fresh: Sregs): Sregs => {
  const flat: Sregs = {
    ...fresh,
    cs: codeSegment(protocol === "linux64" ? 64 : 32),
    ds: dataSegment,
    es: dataSegment,
    fs: dataSegment,
    gs: dataSegment,
    ss: dataSegment,
    tr: taskSegment,
    gdt: gdtRegister,
    idt: idtRegister,
    cr0: CR0_PE | CR0_ET | CR0_NE,
    cr3: 0n,
    cr4: 0n,
    efer: 0n,
  }
  if (protocol === "pvh") return { ...flat, cr0: CR0_PE | CR0_ET }
  return {
    ...flat,
    cr0: flat.cr0 | CR0_PG,
    cr3: BigInt(PML4_ADDRESS),
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
  }
}
