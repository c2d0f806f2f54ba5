/** `struct kvm_msr_entry`: model-specific registers by index (KVM_GET_MSRS). */
import { reserved, structure, u32, u64, type Value } from "./structure.ts"

export const KvmMsrEntry = structure("kvm_msr_entry", { index: u32, reserved: reserved(4), value: u64 })

export type MsrEntry = Value<typeof KvmMsrEntry>

export const decodeMsrs = KvmMsrEntry.decodeAll
export const encodeMsrs = KvmMsrEntry.encodeAll

// Indices by the names of the Intel SDM, volume 4, and of linux/arch/x86/include/asm/msr-index.h.
export const IA32_TSC = 0x10
export const IA32_FEATURE_CONTROL = 0x3a
export const IA32_SYSENTER_CS = 0x174
export const IA32_SYSENTER_ESP = 0x175
export const IA32_SYSENTER_EIP = 0x176
export const IA32_MISC_ENABLE = 0x1a0
export const IA32_MTRR_DEF_TYPE = 0x2ff
export const IA32_TSC_DEADLINE = 0x6e0
export const IA32_STAR = 0xc000_0081
export const IA32_LSTAR = 0xc000_0082
export const IA32_CSTAR = 0xc000_0083
export const IA32_FMASK = 0xc000_0084
export const IA32_KERNEL_GS_BASE = 0xc000_0102

/** The synthetic registers of Hyper-V (TLFS, section 3): an interface that cryovm shows to no guest. */
const HYPERV_FIRST = 0x4000_0000
const HYPERV_LAST = 0x4000_01ff

/**
 * The registers of KVM's list that a machine's state consists of: all but Hyper-V's. Merely reading one of those makes
 * KVM set up its Hyper-V emulation for the vCPU, which takes memory and time.
 */
export const stateMsrIndices = (msrIndices: readonly number[]): readonly number[] =>
  msrIndices.filter((index) => index < HYPERV_FIRST || index > HYPERV_LAST)
