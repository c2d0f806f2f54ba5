/** `struct kvm_mp_state`: whether a vCPU runs, halts or waits for its start-up interrupt (KVM_GET_MP_STATE). */
import { structure, u32, type Value } from "./structure.ts"

export const KvmMpState = structure("kvm_mp_state", { mpState: u32 })

export type MpState = Value<typeof KvmMpState>

export const MP_STATE_RUNNABLE = 0
/** An application processor that has not been started. */
export const MP_STATE_UNINITIALIZED = 1
export const MP_STATE_HALTED = 3
