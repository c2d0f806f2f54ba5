/**
 * CPUID bits that are features: where they are, and what they are called (Intel SDM volume 2, CPUID; AMD APM volume 3,
 * appendix E; Linux, Documentation/virt/kvm/x86/cpuid.rst for 0x40000001).
 */
import { CPUID_FLAG_SIGNIFICANT_INDEX, type CpuidEntry } from "./cpuid.ts"

export type CpuidRegister = "eax" | "ebx" | "ecx" | "edx"

/** One register of one leaf. */
export interface FeatureWord {
  readonly leaf: number
  readonly subleaf: number
  readonly register: CpuidRegister
}

/** One register of one leaf, and what is set in it. */
export interface FeatureBits extends FeatureWord {
  readonly bits: number
}

interface NamedWord extends FeatureWord {
  /** Names from bit 0 up; `-` for a bit without one. */
  readonly names: readonly string[]
  /** Bits that are features; what is left out is a number, or what the guest itself has turned on. */
  readonly mask: number
}

const ALL = 0xffff_ffff

const word = (leaf: number, subleaf: number, register: CpuidRegister, names: string, mask = ALL): NamedWord => ({
  leaf,
  subleaf,
  register,
  names: names.trim().split(/\s+/),
  mask,
})

/** OSXSAVE and OSPKE follow the guest's CR4: they are state. */
const OSXSAVE = 1 << 27
const OSPKE = 1 << 4
/** Width of MPX address adjustment: a number. */
const MAWAU = 0x1f << 17

const WORDS: readonly NamedWord[] = [
  word(
    1,
    0,
    "ecx",
    `SSE3 PCLMULQDQ DTES64 MONITOR DS_CPL VMX SMX EIST TM2 SSSE3 CNXT_ID SDBG FMA CX16 XTPR PDCM - PCID DCA SSE4_1
    SSE4_2 X2APIC MOVBE POPCNT TSC_DEADLINE AES XSAVE OSXSAVE AVX F16C RDRAND HYPERVISOR`,
    ALL & ~OSXSAVE,
  ),
  word(
    1,
    0,
    "edx",
    `FPU VME DE PSE TSC MSR PAE MCE CX8 APIC - SEP MTRR PGE MCA CMOV PAT PSE36 PSN CLFLUSH - DS ACPI MMX FXSR SSE SSE2
    SS HTT TM IA64 PBE`,
  ),
  // The others of leaf 6 tell of the host's sensors.
  word(6, 0, "eax", "- - ARAT", 1 << 2),
  word(
    7,
    0,
    "ebx",
    `FSGSBASE TSC_ADJUST SGX BMI1 HLE AVX2 FDP_EXCPTN_ONLY SMEP BMI2 ERMS INVPCID RTM CMT ZERO_FCS_FDS MPX RDT_A AVX512F
    AVX512DQ RDSEED ADX SMAP AVX512_IFMA PCOMMIT CLFLUSHOPT CLWB INTEL_PT AVX512PF AVX512ER AVX512CD SHA AVX512BW
    AVX512VL`,
  ),
  word(
    7,
    0,
    "ecx",
    `PREFETCHWT1 AVX512_VBMI UMIP PKU OSPKE WAITPKG AVX512_VBMI2 CET_SS GFNI VAES VPCLMULQDQ AVX512_VNNI AVX512_BITALG
    TME AVX512_VPOPCNTDQ - LA57 - - - - - RDPID KEYLOCKER BUS_LOCK_DETECT CLDEMOTE - MOVDIRI MOVDIR64B ENQCMD SGX_LC
    PKS`,
    ALL & ~OSPKE & ~MAWAU,
  ),
  word(
    7,
    0,
    "edx",
    `- SGX_KEYS AVX512_4VNNIW AVX512_4FMAPS FSRM UINTR - - AVX512_VP2INTERSECT SRBDS_CTRL MD_CLEAR RTM_ALWAYS_ABORT -
    RTM_FORCE_ABORT SERIALIZE HYBRID TSXLDTRK - PCONFIG ARCH_LBR CET_IBT - AMX_BF16 AVX512_FP16 AMX_TILE AMX_INT8
    SPEC_CTRL STIBP L1D_FLUSH ARCH_CAPABILITIES CORE_CAPABILITIES SSBD`,
  ),
  word(
    7,
    1,
    "eax",
    `SHA512 SM3 SM4 RAO_INT AVX_VNNI AVX512_BF16 LASS CMPCCXADD ARCH_PERFMON_EXT - FZRM FSRS FSRC - - - - FRED LKGS
    WRMSRNS NMI_SOURCE AMX_FP16 HRESET AVX_IFMA - - LAM MSRLIST - - INVD_DISABLE MOVRS`,
  ),
  word(7, 1, "ebx", "PPIN - - CPUIDMAXVAL_LIM_RMV"),
  word(7, 1, "ecx", "-"),
  word(
    7,
    1,
    "edx",
    `- - - - AVX_VNNI_INT8 AVX_NE_CONVERT - - AMX_COMPLEX - AVX_VNNI_INT16 - - UTMR PREFETCHITI USER_MSR - UIRET_UIF
    CET_SSS AVX10`,
  ),
  word(7, 2, "edx", "PSFD IPRED_CTRL RRSBA_CTRL DDPD_U BHI_CTRL MCDT_NO"),
  word(
    0xd,
    0,
    "eax",
    "XCR0_X87 XCR0_SSE XCR0_AVX XCR0_BNDREGS XCR0_BNDCSR XCR0_OPMASK XCR0_ZMM_HI256 XCR0_HI16_ZMM - XCR0_PKRU - - - - - - - XCR0_XTILECFG XCR0_XTILEDATA",
  ),
  word(0xd, 0, "edx", "-"),
  word(0xd, 1, "eax", "XSAVEOPT XSAVEC XGETBV1 XSAVES XFD"),
  word(0xd, 1, "ecx", "- - - - - - - - XSS_PT - XSS_PASID XSS_CET_U XSS_CET_S XSS_HDC XSS_UINTR XSS_LBR XSS_HWP"),
  word(
    0x4000_0001,
    0,
    "eax",
    `KVM_CLOCKSOURCE KVM_NOP_IO_DELAY KVM_MMU_OP KVM_CLOCKSOURCE2 KVM_ASYNC_PF KVM_STEAL_TIME KVM_PV_EOI KVM_PV_UNHALT -
    KVM_PV_TLB_FLUSH KVM_ASYNC_PF_VMEXIT KVM_PV_SEND_IPI KVM_POLL_CONTROL KVM_PV_SCHED_YIELD KVM_ASYNC_PF_INT
    KVM_MSI_EXT_DEST_ID KVM_HC_MAP_GPA_RANGE KVM_MIGRATION_CONTROL - - - - - - KVM_CLOCKSOURCE_STABLE`,
  ),
  word(
    0x8000_0001,
    0,
    "ecx",
    `LAHF_LM CMP_LEGACY SVM EXTAPIC CR8_LEGACY ABM SSE4A MISALIGNSSE 3DNOWPREFETCH OSVW IBS XOP SKINIT WDT - LWP FMA4 TCE
    - NODEID_MSR - TBM TOPOEXT PERFCTR_CORE PERFCTR_NB - DBEXT PTSC PERFCTR_LLC MONITORX ADDR_MASK_EXT`,
  ),
  word(
    0x8000_0001,
    0,
    "edx",
    `FPU VME DE PSE TSC MSR PAE MCE CX8 APIC - SYSCALL MTRR PGE MCA CMOV PAT PSE36 - MP NX - MMXEXT MMX FXSR FXSR_OPT
    PDPE1GB RDTSCP - LM 3DNOWEXT 3DNOW`,
  ),
  word(0x8000_0007, 0, "ebx", "OVERFLOW_RECOV SUCCOR - SMCA"),
  word(0x8000_0007, 0, "edx", "- - - - - - - - INVARIANT_TSC"),
  word(
    0x8000_0008,
    0,
    "ebx",
    `CLZERO IRPERF XSAVEERPTR - RDPRU - - - - WBNOINVD - - IBPB - IBRS STIBP - STIBP_ALWAYS_ON - IBRS_SAME_MODE - - - PPIN
    SSBD VIRT_SSBD SSB_NO - PSFD BTC_NO IBPB_RET`,
  ),
  word(
    0x8000_0021,
    0,
    "eax",
    `NO_NESTED_DATA_BP - LFENCE_RDTSC - - - NULL_SEL_CLR_BASE - AUTOIBRS NO_SMM_CTL_MSR - - - - - - - PREFETCHI - - - - -
    - - - - SBPB IBPB_BRTYPE SRSO_NO`,
  ),
]

/** Bits that promise the lack of something: a guest that was shown one does without, and is only not told any more. */
const PROMISES: ReadonlySet<string> = new Set([
  "FDP_EXCPTN_ONLY",
  "ZERO_FCS_FDS",
  "RTM_ALWAYS_ABORT",
  "MCDT_NO",
  "NO_NESTED_DATA_BP",
  "NULL_SEL_CLR_BASE",
  "NO_SMM_CTL_MSR",
  "SSB_NO",
  "BTC_NO",
  "SRSO_NO",
])

const keyOf = ({ leaf, subleaf, register }: FeatureWord): string => `${leaf}.${subleaf}.${register}`

const byKey = new Map(WORDS.map((each) => [keyOf(each), each]))

/** The feature bits of CPUID entries, by words, those with none left out. */
export const featuresOf = (entries: readonly CpuidEntry[]): readonly FeatureBits[] => {
  const entry = new Map(entries.map((each) => [each.function * 0x1_0000 + each.index, each]))
  return WORDS.flatMap(({ leaf, subleaf, register, mask }) => {
    const bits = ((entry.get(leaf * 0x1_0000 + subleaf)?.[register] ?? 0) & mask) >>> 0
    return bits === 0 ? [] : [{ leaf, subleaf, register, bits }]
  })
}

/** All that is set in any of the lists. */
export const uniteFeatures = (lists: readonly (readonly FeatureBits[])[]): readonly FeatureBits[] => {
  const united = new Map<string, FeatureBits>()
  for (const each of lists.flat()) {
    const before = united.get(keyOf(each))
    united.set(keyOf(each), { ...each, bits: ((before?.bits ?? 0) | each.bits) >>> 0 })
  }
  return [...united.values()]
}

const CPUID_WITH_SUBLEAVES: ReadonlySet<number> = new Set([7, 0xd])

/** CPUID entries with features added to what they have. */
export const withFeatures = (
  entries: readonly CpuidEntry[],
  features: readonly FeatureBits[],
): readonly CpuidEntry[] => {
  const added = entries.map((entry) => ({ ...entry }))
  for (const { leaf, subleaf, register, bits } of features) {
    let entry = added.find((each) => each.function === leaf && each.index === subleaf)
    if (entry === undefined) {
      const flags = CPUID_WITH_SUBLEAVES.has(leaf) ? CPUID_FLAG_SIGNIFICANT_INDEX : 0
      entry = { function: leaf, index: subleaf, flags, eax: 0, ebx: 0, ecx: 0, edx: 0 }
      added.push(entry)
    }
    entry[register] = (entry[register] | bits) >>> 0
  }
  return added
}

/** A bit that is set in one list and not in another. */
export interface LostFeature extends FeatureWord {
  readonly bit: number
  /** Such as `AVX2`; of a bit without a name, where it is. */
  readonly name: string
  /** Such as `CPUID.7.0:EBX[5]`. */
  readonly place: string
  /** Whether the bit only promised the lack of something. */
  readonly isPromise: boolean
}

const hex = (value: number): string => (value < 0x10 ? value.toString(16).toUpperCase() : `0x${value.toString(16)}`)

const lostFeature = (at: FeatureWord, bit: number): LostFeature => {
  const { leaf, subleaf, register } = at
  const place = `CPUID.${hex(leaf)}.${subleaf}:${register.toUpperCase()}[${bit}]`
  const known = byKey.get(keyOf(at))?.names[bit]
  const name = known === undefined || known === "-" ? place : known
  return { leaf, subleaf, register, bit, name, place, isPromise: PROMISES.has(name) }
}

/** What is set in `wanted` and not in `available`. */
export const lostFeatures = (
  wanted: readonly FeatureBits[],
  available: readonly FeatureBits[],
): readonly LostFeature[] => {
  const there = new Map(available.map((each) => [keyOf(each), each.bits]))
  return wanted.flatMap((each) => {
    const lost = (each.bits & ~(there.get(keyOf(each)) ?? 0)) >>> 0
    if (lost === 0) return []
    return Array.from({ length: 32 }, (_, bit) => bit)
      .filter((bit) => ((lost >>> bit) & 1) === 1)
      .map((bit) => lostFeature(each, bit))
  })
}
