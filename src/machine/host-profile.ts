/**
 * What a snapshot records of the host it was written on.
 */
import type { NativeHostProbe } from "../native.ts"
import type { HostProfile } from "../state/manifest.ts"
import { type CpuidEntry, decodeCpuid } from "./kvm/cpuid.ts"

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

/** The processor as KVM shows it to guests. */
const processor = (entries: readonly CpuidEntry[]): HostProfile["cpu"] => {
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

/** @param tscKhz frequency of the guest's TSC; 0 where KVM does not tell */
export const hostProfile = (probe: NativeHostProbe, tscKhz: number): HostProfile => ({
  kernelRelease: probe.kernelRelease,
  nodeVersion: process.version,
  kvmApiVersion: probe.apiVersion,
  capabilities: probe.capabilities,
  cpu: processor(decodeCpuid(probe.supportedCpuid)),
  tscKhz,
})
