/**
 * `struct kvm_vcpu_events`: exceptions, interrupts, NMIs and SMIs on their way into the guest (KVM_GET_VCPU_EVENTS).
 * `flags` tells which of the later members count.
 */
import { reserved, structure, u8, u32, u64 } from "./structure.ts"

export const KvmVcpuEvents = structure("kvm_vcpu_events", {
  exception: structure("kvm_vcpu_events.exception", {
    injected: u8,
    nr: u8,
    hasErrorCode: u8,
    pending: u8,
    errorCode: u32,
  }),
  interrupt: structure("kvm_vcpu_events.interrupt", { injected: u8, nr: u8, soft: u8, shadow: u8 }),
  nmi: structure("kvm_vcpu_events.nmi", { injected: u8, pending: u8, masked: u8, pad: reserved(1) }),
  sipiVector: u32,
  flags: u32,
  smi: structure("kvm_vcpu_events.smi", { smm: u8, pending: u8, smmInsideNmi: u8, latchedInit: u8 }),
  tripleFault: structure("kvm_vcpu_events.triple_fault", { pending: u8 }),
  reserved: reserved(26),
  exceptionHasPayload: u8,
  exceptionPayload: u64,
})
