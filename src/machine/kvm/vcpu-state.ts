/** The state of one vCPU in a snapshot. */
import * as Schema from "effect/Schema"
import { component } from "../../state/component.ts"
import { BoundedBytes, FixedBytes, U32 } from "../../state/primitives.ts"
import { KvmCpuidEntry2 } from "./cpuid.ts"
import { KvmDebugregs } from "./debugregs.ts"
import { LAPIC_PAGE_SIZE } from "./lapic-page.ts"
import { KvmMpState } from "./mp-state.ts"
import { KvmMsrEntry } from "./msrs.ts"
import { KvmRegs } from "./regs.ts"
import { KvmSregs2 } from "./sregs.ts"
import { KvmVcpuEvents } from "./vcpu-events.ts"
import { KvmXcrs } from "./xcrs.ts"
import { XsaveBytes } from "./xsave.ts"

/** Most that KVM gives for one nested guest: a header of 128 bytes and two VMCS pages. */
const NESTED_STATE_MAX = 65536

/** Version 1. */
export const VcpuV1 = Schema.Struct({
  /** Also its APIC id. */
  index: U32,
  mpState: KvmMpState.schema,
  regs: KvmRegs.schema,
  sregs: KvmSregs2.schema,
  xsave: XsaveBytes,
  /** Absent where the processor has no XSAVE. */
  xcrs: Schema.optionalKey(KvmXcrs.schema),
  debugregs: KvmDebugregs.schema,
  lapic: FixedBytes(LAPIC_PAGE_SIZE),
  /** Frequency of the guest's TSC; 0 where KVM did not tell. */
  tscKhz: U32,
  cpuid: Schema.Array(KvmCpuidEntry2.schema),
  msrs: Schema.Array(KvmMsrEntry.schema),
  /** `struct kvm_nested_state`; present where the guest can be a hypervisor itself. */
  nestedState: Schema.optionalKey(BoundedBytes(NESTED_STATE_MAX)),
  events: KvmVcpuEvents.schema,
})

export type VcpuState = typeof VcpuV1.Type

export const vcpuComponent = component<VcpuState>("vcpu", VcpuV1)
