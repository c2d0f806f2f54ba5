/** Names of model-specific registers, as far as a report of one wants them (linux/arch/x86/include/asm/msr-index.h). */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0x10, "IA32_TSC"],
  [0x1b, "IA32_APIC_BASE"],
  [0x3a, "IA32_FEATURE_CONTROL"],
  [0x3b, "IA32_TSC_ADJUST"],
  [0x48, "IA32_SPEC_CTRL"],
  [0x8b, "IA32_BIOS_SIGN_ID"],
  [0xce, "MSR_PLATFORM_INFO"],
  [0x10a, "IA32_ARCH_CAPABILITIES"],
  [0x122, "IA32_TSX_CTRL"],
  [0x140, "MSR_MISC_FEATURES_ENABLES"],
  [0x174, "IA32_SYSENTER_CS"],
  [0x175, "IA32_SYSENTER_ESP"],
  [0x176, "IA32_SYSENTER_EIP"],
  [0x17a, "IA32_MCG_STATUS"],
  [0x17b, "IA32_MCG_CTL"],
  [0x1a0, "IA32_MISC_ENABLE"],
  [0x1c4, "IA32_XFD"],
  [0x1c5, "IA32_XFD_ERR"],
  [0x277, "IA32_PAT"],
  [0x2ff, "IA32_MTRR_DEF_TYPE"],
  [0x345, "IA32_PERF_CAPABILITIES"],
  [0x6a0, "IA32_U_CET"],
  [0x6a2, "IA32_S_CET"],
  [0x6e0, "IA32_TSC_DEADLINE"],
  [0xda0, "IA32_XSS"],
  [0x4b56_4d00, "KVM_WALL_CLOCK_NEW"],
  [0x4b56_4d01, "KVM_SYSTEM_TIME_NEW"],
  [0x4b56_4d02, "KVM_ASYNC_PF_EN"],
  [0x4b56_4d03, "KVM_STEAL_TIME"],
  [0x4b56_4d04, "KVM_PV_EOI_EN"],
  [0x4b56_4d05, "KVM_POLL_CONTROL"],
  [0x4b56_4d06, "KVM_ASYNC_PF_INT"],
  [0x4b56_4d07, "KVM_ASYNC_PF_ACK"],
  [0xc000_0080, "IA32_EFER"],
  [0xc000_0081, "IA32_STAR"],
  [0xc000_0082, "IA32_LSTAR"],
  [0xc000_0083, "IA32_CSTAR"],
  [0xc000_0084, "IA32_FMASK"],
  [0xc000_0100, "IA32_FS_BASE"],
  [0xc000_0101, "IA32_GS_BASE"],
  [0xc000_0102, "IA32_KERNEL_GS_BASE"],
  [0xc000_0103, "IA32_TSC_AUX"],
  [0xc000_0104, "MSR_AMD64_TSC_RATIO"],
])

/** Such as `IA32_TSX_CTRL (0x122)`, or the index alone. */
export const msrName = (index: number): string => {
  const hex = `0x${index.toString(16)}`
  const name = NAMES.get(index)
  return name === undefined ? `MSR ${hex}` : `${name} (${hex})`
}
