/** `struct kvm_fpu`: x87 and SSE only (KVM_GET_FPU). {@link "./xsave.ts"} holds all of it and is what is saved. */
import { array, bytes, reserved, structure, u8, u16, u32, u64, type Value } from "./structure.ts"

export const KvmFpu = structure("kvm_fpu", {
  fpr: array(bytes(16), 8),
  fcw: u16,
  fsw: u16,
  ftwx: u8,
  pad1: reserved(1),
  lastOpcode: u16,
  lastIp: u64,
  lastDp: u64,
  xmm: array(bytes(16), 16),
  mxcsr: u32,
  pad2: reserved(4),
})

export type Fpu = Value<typeof KvmFpu>
