/** `struct kvm_cpuid_entry2`: what CPUID answers, one entry a leaf and subleaf (KVM_GET_CPUID2). */
import { reserved, structure, u32, type Value } from "./structure.ts"

export const KvmCpuidEntry2 = structure("kvm_cpuid_entry2", {
  function: u32,
  index: u32,
  flags: u32,
  eax: u32,
  ebx: u32,
  ecx: u32,
  edx: u32,
  padding: reserved(12),
})

export type CpuidEntry = Value<typeof KvmCpuidEntry2>

/** `index` counts: the leaf has subleaves. */
export const CPUID_FLAG_SIGNIFICANT_INDEX = 1

export const decodeCpuid = KvmCpuidEntry2.decodeAll
export const encodeCpuid = KvmCpuidEntry2.encodeAll
