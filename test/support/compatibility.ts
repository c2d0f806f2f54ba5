/** A snapshot's needs and the host it came from, to be altered by tests. */
import { type HostProfile, processorOf } from "../../src/machine/host-profile.ts"
import type { CpuidEntry } from "../../src/machine/kvm/cpuid.ts"
import { featuresOf } from "../../src/machine/kvm/cpuid-features.ts"
import type { SnapshotNeeds } from "../../src/snapshot/compatibility/needs.ts"

const entry = (leaf: number, index: number, registers: Partial<CpuidEntry>): CpuidEntry => ({
  function: leaf,
  index,
  flags: leaf === 7 || leaf === 0xd ? 1 : 0,
  eax: 0,
  ebx: 0,
  ecx: 0,
  edx: 0,
  ...registers,
})

/** Cascade Lake, as KVM shows it. */
const supportedCpuid: readonly CpuidEntry[] = [
  entry(0, 0, { eax: 0x16, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 }),
  entry(1, 0, { eax: 0x50657, ecx: 0xf7fa_3203, edx: 0x0f8b_fbff }),
  entry(6, 0, { eax: 4 }),
  entry(7, 0, { eax: 1, ebx: 0xd19f_47fb, ecx: 0x0000_080c, edx: 0xac00_0400 }),
  entry(7, 1, { eax: 0x20 }),
  entry(0xd, 0, { eax: 0x2e7, ebx: 0xa88, ecx: 0xa88 }),
  entry(0xd, 1, { eax: 0xf }),
  entry(0x4000_0000, 0, { eax: 0x4000_0001, ebx: 0x4b4d564b, ecx: 0x564b4d56, edx: 0x4d }),
  entry(0x4000_0001, 0, { eax: 0x0100_7efb }),
  entry(0x8000_0001, 0, { ecx: 0x121, edx: 0x2c10_0800 }),
  entry(0x8000_0007, 0, { edx: 0x100 }),
  entry(0x8000_0008, 0, { eax: 0x302e, ebx: 0x0100_d000 }),
]

const required = [
  "IRQCHIP",
  "USER_MEMORY",
  "SET_TSS_ADDR",
  "EXT_CPUID",
  "SET_IDENTITY_MAP_ADDR",
  "MP_STATE",
  "DESTROY_MEMORY_REGION_WORKS",
  "IRQFD",
  "IOEVENTFD",
  "PIT2",
  "PIT_STATE2",
  "VCPU_EVENTS",
  "DEBUGREGS",
  "XSAVE",
  "XCRS",
  "ADJUST_CLOCK",
  "IMMEDIATE_EXIT",
  "GET_TSC_KHZ",
  "KVMCLOCK_CTRL",
  "SREGS2",
  "NESTED_STATE",
  "TSC_DEADLINE_TIMER",
]

const MSRS = [0x10, 0x174, 0x175, 0x176, 0x1a0, 0x277, 0x6e0, 0x4b56_4d01, 0xc000_0081, 0xc000_0082, 0xc000_0084]

export const sampleHost = (): HostProfile => ({
  architecture: "x86_64",
  kernelRelease: "6.8.12-3-generic",
  nodeVersion: "v20.20.2",
  kvmApiVersion: 12,
  kvmKind: "vmx",
  kvmModules: ["kvm", "kvm_intel"],
  capabilities: {
    ...Object.fromEntries(required.map((name) => [name, 1])),
    NR_VCPUS: 16,
    MAX_VCPUS: 1024,
    XSAVE2: 4096,
    TSC_CONTROL: 1,
  },
  cpu: { ...processorOf(supportedCpuid), brand: "a CPU" },
  supportedCpuid,
  msrIndices: [...MSRS, 0x122],
  tscKhz: 2_500_000,
  tscScales: true,
  memoryBytes: 32 * 2 ** 30,
  availableMemoryBytes: 16 * 2 ** 30,
  cryovm: {
    version: "0.2.0",
    formatVersion: 1,
    components: { manifest: 2, machine: 2, vm: 1, vcpu: 1, serial: 1, "virtio-rng": 1 },
  },
})

/** Of a guest that was written on {@link sampleHost}, and shown all of it. */
export const sampleNeeds = (): SnapshotNeeds => {
  const { kernelRelease, kvmKind, kvmModules, capabilities } = sampleHost()
  return {
    id: "0b0f3a52-8f3b-4c8e-9d46-0d9a3f0c2b11",
    producer: { name: "cryovm", version: "0.2.0" },
    formatVersion: 1,
    architecture: "x86_64",
    vcpuCount: 2,
    memoryBytes: 2 ** 30,
    components: [
      { name: "manifest", kind: "manifest", version: 2, optional: false },
      { name: "machine", kind: "machine", version: 2, optional: false },
      { name: "vm", kind: "vm", version: 1, optional: false },
      { name: "vcpu0", kind: "vcpu", version: 1, optional: false },
      { name: "vcpu1", kind: "vcpu", version: 1, optional: false },
      { name: "serial0", kind: "serial", version: 1, optional: false },
      { name: "rng0", kind: "virtio-rng", version: 1, optional: false },
    ],
    vcpu: {
      processor: processorOf(supportedCpuid),
      features: featuresOf(supportedCpuid),
      xsaveBytes: 2696,
      msrs: MSRS,
      tscKhz: 2_500_000,
      nested: false,
    },
    host: { kernelRelease, kvmKind, kvmModules, capabilities },
    memoryFile: { name: "memory.img", size: 2 ** 30 },
    resources: [],
    parent: null,
  }
}

/** A host without some bits of one register of one leaf. */
export const withoutBits = (
  host: HostProfile,
  leaf: number,
  index: number,
  register: "eax" | "ebx" | "ecx" | "edx",
  bits: number,
): HostProfile => ({
  ...host,
  supportedCpuid: (host.supportedCpuid ?? []).map((each) =>
    each.function === leaf && each.index === index ? { ...each, [register]: (each[register] & ~bits) >>> 0 } : each,
  ),
})

/** A host with another value of a capability; `undefined` for one that its profile does not have. */
export const withCapability = (host: HostProfile, name: string, value: number | undefined): HostProfile => {
  const { [name]: _, ...others } = host.capabilities
  return { ...host, capabilities: value === undefined ? others : { ...others, [name]: value } }
}
