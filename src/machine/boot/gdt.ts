/**
 * The boot processor's global descriptor table, and the segment registers that go with it (Intel SDM, volume 3, section
 * "Segment Descriptors"). The 64-bit boot protocol wants code at selector 0x10 and data at 0x18.
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import type { Dtable, Segment } from "../kvm/sregs.ts"
import { GDT_ADDRESS, IDT_ADDRESS } from "../layout.ts"
import { bootStructure } from "./boot-memory.ts"

const CODE_SELECTOR = 0x10
const DATA_SELECTOR = 0x18
const TSS_SELECTOR = 0x20

const TYPE_CODE = 0xb // execute, read, accessed
const TYPE_DATA = 0x3 // read, write, accessed
const TYPE_TSS_BUSY = 0xb

const flat = { base: 0n, limit: 0xffff_ffff, present: 1, dpl: 0, s: 1, g: 1, avl: 0, unusable: 0 }

/** Flat code: 64-bit, or 32-bit for PVH. */
export const codeSegment = (bits: 32 | 64): Segment => ({
  ...flat,
  selector: CODE_SELECTOR,
  type: TYPE_CODE,
  db: bits === 32 ? 1 : 0,
  l: bits === 64 ? 1 : 0,
})

export const dataSegment: Segment = { ...flat, selector: DATA_SELECTOR, type: TYPE_DATA, db: 1, l: 0 }

/** Processors insist on a task register that is loaded; nobody switches tasks. */
export const taskSegment: Segment = {
  base: 0n,
  limit: 0x67,
  selector: TSS_SELECTOR,
  type: TYPE_TSS_BUSY,
  present: 1,
  dpl: 0,
  db: 0,
  s: 0,
  l: 0,
  g: 0,
  avl: 0,
  unusable: 0,
}

/** The descriptor of a segment register's hidden part. */
export const descriptor = (segment: Segment): bigint => {
  const limit = segment.g === 1 ? segment.limit >>> 12 : segment.limit
  const access = segment.type | (segment.s << 4) | (segment.dpl << 5) | (segment.present << 7)
  const flags = segment.avl | (segment.l << 1) | (segment.db << 2) | (segment.g << 3)
  const base = segment.base
  return (
    BigInt(limit & 0xffff) |
    ((base & 0xff_ffffn) << 16n) |
    (BigInt(access) << 40n) |
    (BigInt((limit >>> 16) & 0xf) << 48n) |
    (BigInt(flags) << 52n) |
    (((base >> 24n) & 0xffn) << 56n)
  )
}

/** Null, unused, code, data, and the task segment in two entries. */
const ENTRIES = 6

export const gdtRegister: Dtable = { base: BigInt(GDT_ADDRESS), limit: ENTRIES * 8 - 1 }
/** Room for one entry that is not there: an exception before the kernel has its own table shuts the machine down. */
export const idtRegister: Dtable = { base: BigInt(IDT_ADDRESS), limit: 7 }

export const writeGdt = (memory: GuestMemory, bits: 32 | 64): void => {
  const table = bootStructure(memory, GDT_ADDRESS, ENTRIES * 8)
  const set = (selector: number, segment: Segment) => table.setBigUint64(selector, descriptor(segment), true)
  set(CODE_SELECTOR, codeSegment(bits))
  set(DATA_SELECTOR, dataSegment)
  set(TSS_SELECTOR, taskSegment)
}
