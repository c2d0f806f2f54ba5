/**
 * CPUID of a guest: what KVM supports, with the topology of this machine in it.
 *
 * `KVM_GET_SUPPORTED_CPUID` describes the host's processor as far as KVM can give it to a guest; where it speaks of
 * packages, cores and APIC ids, it speaks of the host's. Those fields become the guest's: `vcpuCount` cores of one thread
 * each in one package, with APIC ids equal to their indices. Nothing else is changed: a feature is masked by the host's
 * KVM or not at all, so that a guest sees exactly what a snapshot's compatibility check compares.
 */
import { CPUID_FLAG_SIGNIFICANT_INDEX, type CpuidEntry } from "../kvm/cpuid.ts"

export interface CpuidOptions {
  /** `KVM_CAP_TSC_DEADLINE_TIMER`: KVM tells of it as a capability, not in the list (KVM API, 4.46). */
  readonly tscDeadlineTimer: boolean
}

const ECX_1_TSC_DEADLINE = 1 << 24
const ECX_1_HYPERVISOR = 1 << 31
const EDX_1_HTT = 1 << 28
const LEVEL_SMT = 1
const LEVEL_CORE = 2
const ECX_8000_0001_CMP_LEGACY = 1 << 1

/** Bits that hold `count` different ids. */
const idBits = (count: number): number => Math.ceil(Math.log2(count))

const withBits = (value: number, mask: number, bits: number): number => ((value & ~mask) | (bits & mask)) >>> 0

/** Leaf 1: initial APIC id, addressable ids in the package, and the two feature bits that KVM leaves to us. */
const leaf1 = (entry: CpuidEntry, vcpu: number, count: number, options: CpuidOptions): CpuidEntry => ({
  ...entry,
  ebx: withBits(entry.ebx, 0xffff_0000, (vcpu << 24) | ((1 << idBits(count)) << 16)),
  ecx:
    (withBits(entry.ecx, ECX_1_TSC_DEADLINE, options.tscDeadlineTimer ? ECX_1_TSC_DEADLINE : 0) | ECX_1_HYPERVISOR) >>>
    0,
  edx: withBits(entry.edx, EDX_1_HTT, count > 1 ? EDX_1_HTT : 0),
})

/** Leaf 4, and 0x8000001D of AMD in the same form: caches up to the second level are a core's own, others shared by all. */
const cacheLeaf = (entry: CpuidEntry, count: number, isIntel: boolean): CpuidEntry => {
  const type = entry.eax & 0x1f
  if (type === 0) return entry
  const ids = (1 << idBits(count)) - 1
  const level = (entry.eax >>> 5) & 7
  const sharing = (level >= 3 ? ids : 0) << 14
  const shared = withBits(entry.eax, 0xfff << 14, sharing)
  // Bits 31:26, addressable core ids in the package less one, are Intel's; AMD reserves them.
  return { ...entry, eax: isIntel ? withBits(shared, 0x3f << 26, ids << 26) : shared }
}

/** Leaves 0xB and 0x1F: one level of threads, of which a core has one, one of cores, and the end. */
const topologyLeaf = (leaf: number, vcpu: number, count: number): readonly CpuidEntry[] => {
  const level = (index: number, eax: number, ebx: number, type: number): CpuidEntry => ({
    function: leaf,
    index,
    flags: CPUID_FLAG_SIGNIFICANT_INDEX,
    eax,
    ebx,
    ecx: (type << 8) | index,
    edx: vcpu,
  })
  return [level(0, 0, 1, LEVEL_SMT), level(1, idBits(count), count, LEVEL_CORE), level(2, 0, 0, 0)]
}

/** Leaf 0x80000008 of AMD: cores in the package less one, and the bits of the APIC id that number them. */
const amdCoreCount = (entry: CpuidEntry, count: number): CpuidEntry => ({
  ...entry,
  ecx: withBits(entry.ecx, 0xf0ff, (idBits(count) << 12) | (count - 1)),
})

/** "GenuineIntel" has "ntel" in ECX of leaf 0; only AMD and Hygon use the extended topology leaves. */
const isIntelVendor = (supported: readonly CpuidEntry[]): boolean =>
  supported.some((entry) => entry.function === 0 && entry.ecx === 0x6c65746e)

/**
 * The entries for one vCPU, from those of `KVM_GET_SUPPORTED_CPUID`.
 */
export const guestCpuid = (
  supported: readonly CpuidEntry[],
  vcpu: number,
  vcpuCount: number,
  options: CpuidOptions,
): readonly CpuidEntry[] => {
  const isIntel = isIntelVendor(supported)
  return supported.flatMap((entry): readonly CpuidEntry[] => {
    switch (entry.function) {
      case 0x1:
        return [leaf1(entry, vcpu, vcpuCount, options)]
      case 0x4:
        return [cacheLeaf(entry, vcpuCount, true)]
      case 0xb:
      case 0x1f:
        // The host's levels give way to the guest's, once a leaf.
        return entry.index === 0 ? topologyLeaf(entry.function, vcpu, vcpuCount) : []
      case 0x8000_0001: {
        const cores = vcpuCount > 1 ? ECX_8000_0001_CMP_LEGACY : 0
        return [isIntel ? entry : { ...entry, ecx: withBits(entry.ecx, ECX_8000_0001_CMP_LEGACY, cores) }]
      }
      case 0x8000_0008:
        return [isIntel ? entry : amdCoreCount(entry, vcpuCount)]
      case 0x8000_001d:
        return [cacheLeaf(entry, vcpuCount, false)]
      case 0x8000_001e:
        // Extended APIC id; core id with one thread a core; one node.
        return [{ ...entry, eax: vcpu, ebx: vcpu, ecx: 0 }]
      case 0x8000_0026:
        // A third topology of AMD's, with the host's ids in it. Absent, the ones above count.
        return []
      default:
        return [entry]
    }
  })
}
