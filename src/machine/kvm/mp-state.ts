/** `struct kvm_mp_state`: whether a vCPU runs, halts or waits for its start-up interrupt (KVM_GET_MP_STATE). */
import { structure, u32 } from "./structure.ts"

export const KvmMpState = structure("kvm_mp_state", { mpState: u32 })
