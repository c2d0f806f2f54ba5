/** Model-specific registers as firmware leaves them. */
import {
  IA32_CSTAR,
  IA32_FMASK,
  IA32_KERNEL_GS_BASE,
  IA32_LSTAR,
  IA32_MISC_ENABLE,
  IA32_MTRR_DEF_TYPE,
  IA32_STAR,
  IA32_SYSENTER_CS,
  IA32_SYSENTER_EIP,
  IA32_SYSENTER_ESP,
  IA32_TSC,
  type MsrEntry,
} from "../kvm/msrs.ts"

/** IA32_MISC_ENABLE: fast REP MOVS and STOS. */
const FAST_STRINGS = 1n
/** IA32_MTRR_DEF_TYPE: MTRRs on, everything write-back. Linux takes RAM for uncached otherwise. */
const MTRR_ENABLE_WRITE_BACK = (1n << 11n) | 6n

/** For every vCPU, in this order. */
export const bootMsrs: readonly MsrEntry[] = [
  ...[
    IA32_SYSENTER_CS,
    IA32_SYSENTER_ESP,
    IA32_SYSENTER_EIP,
    IA32_STAR,
    IA32_LSTAR,
    IA32_CSTAR,
    IA32_FMASK,
    IA32_KERNEL_GS_BASE,
    IA32_TSC,
  ].map((index) => ({ index, value: 0n })),
  { index: IA32_MISC_ENABLE, value: FAST_STRINGS },
  { index: IA32_MTRR_DEF_TYPE, value: MTRR_ENABLE_WRITE_BACK },
]
