/**
 * Puts a tiny guest into 64-bit user mode (CPL 3), where its memory accesses go through the page tables that KVM keeps
 * for it, also where KVM emulates the kernel mode of its guests.
 */
import { codeAddress, type TinyGuest } from "./tiny-guest.ts"

const word = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff)

/** 64-bit instructions with absolute addresses below 2 GiB, as bytes. */
export const x64 = {
  loadRax: (address: number) => [0x48, 0x8b, 0x04, 0x25, ...word(address)],
  storeRax: (address: number) => [0x48, 0x89, 0x04, 0x25, ...word(address)],
  increment: (address: number) => [0x48, 0xff, 0x04, 0x25, ...word(address)],
  /** Back over the last `bytes` bytes of code. */
  jumpBack: (bytes: number) => [0xeb, -(bytes + 2) & 0xff],
}

/** Three tables of a page each, from here. */
const tablesAddress = 0x10000
/** Present, writable, for user mode, accessed, dirty. */
const tableFlags = 0x67n
const largePage = 0x80n

/** Offsets in `struct kvm_sregs`. */
const cr0 = 224
const cr3 = 240
const cr4 = 248
const efer = 264

const putSegment = (sregs: DataView, index: number, selector: number, type: number, long: number) => {
  const at = index * 24
  sregs.setBigUint64(at, 0n, true)
  sregs.setUint32(at + 8, 0xffffffff, true)
  sregs.setUint16(at + 12, selector, true)
  const [present, dpl, db, code, granular] = [1, 3, 1 - long, 1, 1]
  for (const [offset, value] of [type, present, dpl, db, code, long, granular, 0, 0].entries()) {
    sregs.setUint8(at + 14 + offset, value)
  }
}

/** The code at `codeAddress` runs next, with all of the guest's memory (in whole 2 MiB) at its physical addresses. */
export const enterUserMode = (guest: TinyGuest): void => {
  const tables = new BigUint64Array(guest.memory.window(tablesAddress, 3 * 4096))
  tables[0] = BigInt(tablesAddress + 4096) | tableFlags
  tables[512] = BigInt(tablesAddress + 2 * 4096) | tableFlags
  for (let at = 0; at < guest.memory.size / 0x200000; at++)
    tables[1024 + at] = BigInt(at * 0x200000) | tableFlags | largePage

  const bytes = guest.vm.getVcpu(0, "sregs")
  const sregs = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  putSegment(sregs, 0, 0x33, 0xb, 1)
  for (const index of [1, 2, 3, 4, 5]) putSegment(sregs, index, 0x2b, 0x3, 0)
  sregs.setBigUint64(cr0, 0x80000033n, true) // PG, NE, ET, MP, PE
  sregs.setBigUint64(cr3, BigInt(tablesAddress), true)
  sregs.setBigUint64(cr4, 0x620n, true) // PAE, OSFXSR, OSXMMEXCPT
  sregs.setBigUint64(efer, 0x500n, true) // LME, LMA
  guest.vm.setVcpu(0, "sregs", bytes)
  guest.setRegister("rip", BigInt(codeAddress))
  guest.setRegister("rflags", 2n)
}
