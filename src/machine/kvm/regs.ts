/** `struct kvm_regs`: the general-purpose registers, RIP and RFLAGS (KVM_GET_REGS). */
import { structure, u64, type Value } from "./structure.ts"

export const KvmRegs = structure("kvm_regs", {
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  rbp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
})

export type Regs = Value<typeof KvmRegs>

export const decodeRegs = KvmRegs.decode
export const encodeRegs = KvmRegs.encode
