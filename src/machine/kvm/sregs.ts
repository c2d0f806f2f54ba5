/**
 * `struct kvm_sregs` and `struct kvm_sregs2`: segments, descriptor tables and control registers.
 *
 * The wire keeps the second, which adds the page-directory pointers that a vCPU in PAE mode has loaded. The first has
 * instead a bitmap with the one interrupt that is injected; `struct kvm_vcpu_events` tells that too, and is set later.
 */
import { array, reserved, structure, u8, u16, u32, u64, type Value } from "./structure.ts"

/** `struct kvm_segment`: a segment register with its hidden part. `limit` is in bytes, `g` tells how it was given. */
export const KvmSegment = structure("kvm_segment", {
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: reserved(1),
})

/** `struct kvm_dtable`: base and limit of GDT or IDT. */
export const KvmDtable = structure("kvm_dtable", { base: u64, limit: u16, padding: reserved(6) })

const common = {
  cs: KvmSegment,
  ds: KvmSegment,
  es: KvmSegment,
  fs: KvmSegment,
  gs: KvmSegment,
  ss: KvmSegment,
  tr: KvmSegment,
  ldt: KvmSegment,
  gdt: KvmDtable,
  idt: KvmDtable,
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  apicBase: u64,
}

/** KVM_GET_SREGS. */
export const KvmSregs = structure("kvm_sregs", { ...common, interruptBitmap: array(u64, 4) })
/** KVM_GET_SREGS2 (Linux 5.14). `pdptrs` are valid where bit 0 of `flags` is set. */
export const KvmSregs2 = structure("kvm_sregs2", { ...common, flags: u64, pdptrs: array(u64, 4) })

export type Segment = Value<typeof KvmSegment>
export type Dtable = Value<typeof KvmDtable>
export type Sregs = Value<typeof KvmSregs>
export type Sregs2 = Value<typeof KvmSregs2>

export const decodeSregs = KvmSregs.decode
export const encodeSregs = KvmSregs.encode

/** What a host without KVM_GET_SREGS2 tells, in the form of the wire. */
export const sregs2Of = ({ interruptBitmap: _, ...sregs }: Sregs): Sregs2 => ({
  ...sregs,
  flags: 0n,
  pdptrs: [0n, 0n, 0n, 0n],
})

/** For a host without KVM_SET_SREGS2: KVM then loads the page-directory pointers from guest memory, at CR3. */
export const sregsOf = ({ flags: _flags, pdptrs: _pdptrs, ...sregs }: Sregs2): Sregs => ({
  ...sregs,
  interruptBitmap: [0n, 0n, 0n, 0n],
})
