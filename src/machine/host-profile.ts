/**
 * A host profile: what a host is, as far as it decides whether a saved machine can run there. Taken on one host, it can
 * be asked on another.
 */
import { machine as machineName, totalmem } from "node:os"
import type { NativeHostProbe, NativeVm } from "../native.ts"
import { PACKED_CPUID_BYTES, PACKED_MSR_BYTES, type StoredHostProfile } from "../state/host-profile.ts"
import { type CpuidEntry, decodeCpuid } from "./kvm/cpuid.ts"
import { featuresOf, withFeatures } from "./kvm/cpuid-features.ts"
import { kvmEvidence, kvmKindOf } from "./kvm-kind.ts"

/**
 * A host profile. `null` and a `tscKhz` of 0 are what is not known. Plain data; `hostProfileToJson` gives the form that
 * later releases read, too.
 *
 * `capabilities`: KVM_CHECK_EXTENSION by name without `KVM_CAP_`. `supportedCpuid`: KVM_GET_SUPPORTED_CPUID, and
 * in it the features that KVM shows a guest even so.
 * `msrIndices`: KVM_GET_MSR_INDEX_LIST. `tscScales`: KVM_CAP_TSC_CONTROL. `memoryBytes`, `availableMemoryBytes`: RAM,
 * and what of it this process could have had. `cryovm`: what the release there reads.
 */
export type HostProfile = Omit<StoredHostProfile, "supportedCpuid" | "msrIndices"> & {
  readonly supportedCpuid: readonly CpuidEntry[] | null
  readonly msrIndices: readonly number[] | null
}

/** What a release of cryovm reads. */
export type ReaderProfile = NonNullable<HostProfile["cryovm"]>

/** Bytes of registers in the given order, as the CPUID leaves that hold text pack them. */
const text = (registers: readonly number[]): string => {
  const bytes = Buffer.alloc(registers.length * 4)
  registers.forEach((register, index) => {
    bytes.writeUInt32LE(register >>> 0, index * 4)
  })
  return bytes.toString("latin1").replace(/\0.*$/s, "").trim()
}

/** Family, model and stepping of CPUID leaf 1 EAX (Intel SDM volume 2, CPUID, figure 3-6). */
const signature = (eax: number): { readonly family: number; readonly model: number; readonly stepping: number } => {
  const baseFamily = (eax >>> 8) & 0xf
  const family = baseFamily === 0xf ? baseFamily + ((eax >>> 20) & 0xff) : baseFamily
  const hasExtendedModel = baseFamily === 0xf || baseFamily === 6
  const model = ((eax >>> 4) & 0xf) + (hasExtendedModel ? ((eax >>> 16) & 0xf) << 4 : 0)
  return { family, model, stepping: eax & 0xf }
}

const BRAND_LEAVES = [0x80000002, 0x80000003, 0x80000004]

/** The processor that CPUID entries tell of. */
export const processorOf = (entries: readonly CpuidEntry[]): HostProfile["cpu"] => {
  const leaf = (number: number) => entries.find((entry) => entry.function === number)
  const vendor = leaf(0)
  const brand = BRAND_LEAVES.flatMap((number) => {
    const entry = leaf(number)
    return entry === undefined ? [] : [entry.eax, entry.ebx, entry.ecx, entry.edx]
  })
  return {
    vendor: vendor === undefined ? "" : text([vendor.ebx, vendor.edx, vendor.ecx]),
    ...signature(leaf(1)?.eax ?? 0),
    brand: text(brand),
  }
}

/** What a process may still take, heeding the limits of its control group. */
export const availableMemory = (): number => process.availableMemory()

/** What of a profile is not KVM's to tell. */
const hostItself = () => {
  const evidence = kvmEvidence()
  return {
    architecture: machineName(),
    nodeVersion: process.version,
    kvmKind: kvmKindOf(evidence),
    kvmModules: evidence.modules,
    memoryBytes: totalmem(),
  }
}

/** What only a vCPU tells of its host. */
export interface VcpuMeasures {
  /** What KVM shows a guest that is set to all that KVM supports: the same, or more, where it does not heed what is set. */
  readonly shownCpuid: Uint8Array
  /** Frequency of a guest's TSC; 0 where KVM does not tell. */
  readonly tscKhz: number
}

/** @param vm one that has never run, and whose vCPUs are still to be set up */
export const measureVcpu = (vm: NativeVm, probe: NativeHostProbe): VcpuMeasures => {
  vm.setVcpu(0, "cpuid2", probe.supportedCpuid)
  return { shownCpuid: vm.getVcpu(0, "cpuid2"), tscKhz: vm.getTscKhz(0) }
}

/**
 * The profile of this host.
 * @param vcpu `undefined` where KVM makes no vCPU
 * @param cryovm what this release reads
 */
export const hostProfile = (
  probe: NativeHostProbe,
  vcpu: VcpuMeasures | undefined,
  cryovm: ReaderProfile,
): HostProfile => {
  const supported = decodeCpuid(probe.supportedCpuid)
  const supportedCpuid =
    vcpu === undefined ? supported : withFeatures(supported, featuresOf(decodeCpuid(vcpu.shownCpuid)))
  return {
    ...hostItself(),
    kernelRelease: probe.kernelRelease,
    kvmApiVersion: probe.apiVersion,
    capabilities: probe.capabilities,
    cpu: processorOf(supportedCpuid),
    supportedCpuid,
    msrIndices: probe.msrIndices,
    tscKhz: vcpu?.tscKhz ?? 0,
    tscScales: (probe.capabilities["TSC_CONTROL"] ?? 0) > 0,
    availableMemoryBytes: null,
    cryovm,
  }
}

export const packWords = (words: readonly number[]): Uint8Array => {
  const bytes = new Uint8Array(words.length * 4)
  const view = new DataView(bytes.buffer)
  words.forEach((word, index) => {
    view.setUint32(index * 4, word, true)
  })
  return bytes
}

const unpackWords = (bytes: Uint8Array): readonly number[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: bytes.length / PACKED_MSR_BYTES }, (_, index) =>
    view.getUint32(index * PACKED_MSR_BYTES, true),
  )
}

export const packCpuid = (entries: readonly CpuidEntry[]): Uint8Array =>
  packWords(
    entries.flatMap((entry) => [entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx]),
  )

const unpackCpuid = (bytes: Uint8Array): readonly CpuidEntry[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: bytes.length / PACKED_CPUID_BYTES }, (_, index) => {
    const word = (at: number) => view.getUint32(index * PACKED_CPUID_BYTES + at * 4, true)
    return {
      function: word(0),
      index: word(1),
      flags: word(2),
      eax: word(3),
      ebx: word(4),
      ecx: word(5),
      edx: word(6),
    }
  })
}

const whereKnown = <A, B>(value: A | null, convert: (value: A) => B): B | null =>
  value === null ? null : convert(value)

/** As it is stored. */
export const packHostProfile = (profile: HostProfile): StoredHostProfile => ({
  ...profile,
  supportedCpuid: whereKnown(profile.supportedCpuid, packCpuid),
  msrIndices: whereKnown(profile.msrIndices, packWords),
})

/** From how it is stored. */
export const unpackHostProfile = (stored: StoredHostProfile): HostProfile => ({
  ...stored,
  supportedCpuid: whereKnown(stored.supportedCpuid, unpackCpuid),
  msrIndices: whereKnown(stored.msrIndices, unpackWords),
})
