/** What a snapshot needs, from its manifest and the state of its vCPUs. */
import { processorOf } from "../../machine/host-profile.ts"
import { type FeatureBits, featuresOf, uniteFeatures } from "../../machine/kvm/cpuid-features.ts"
import { isNestedIdle } from "../../machine/kvm/nested-state.ts"
import { type VcpuState, vcpuComponent } from "../../machine/kvm/vcpu-state.ts"
import type { DecodedEnvelope, Section } from "../../state/envelope.ts"
import { type Manifest, ManifestComponent } from "../../state/manifest.ts"
import { decodeSection } from "../../state/registry.ts"
import type { SnapshotNeeds, VcpuNeeds } from "./needs.ts"

/** Components of XSAVE that the guest has turned on; normally all of them are among what it was shown. */
const xsaveComponents = ({ xcrs }: VcpuState): readonly FeatureBits[] => {
  const xcr0 = xcrs?.xcrs.slice(0, xcrs.nrXcrs).find(({ xcr }) => xcr === 0)?.value ?? 0n
  const word = { leaf: 0xd, subleaf: 0 } as const
  return [
    { ...word, register: "eax" as const, bits: Number(xcr0 & 0xffff_ffffn) },
    { ...word, register: "edx" as const, bits: Number(xcr0 >> 32n) },
  ].filter(({ bits }) => bits !== 0)
}

const usedBytes = (bytes: Uint8Array): number => {
  let used = bytes.length
  while (used > 0 && bytes[used - 1] === 0) used--
  return used
}

const vcpuNeeds = (vcpus: readonly VcpuState[]): VcpuNeeds | null => {
  const first = vcpus[0]
  if (first === undefined) return null
  const msrs = new Set(vcpus.flatMap((vcpu) => vcpu.msrs.filter(({ value }) => value !== 0n).map(({ index }) => index)))
  return {
    processor: processorOf(first.cpuid),
    features: uniteFeatures(vcpus.flatMap((vcpu) => [featuresOf(vcpu.cpuid), xsaveComponents(vcpu)])),
    xsaveBytes: Math.max(...vcpus.map(({ xsave }) => usedBytes(xsave))),
    msrs: [...msrs].sort((a, b) => a - b),
    tscKhz: first.tscKhz,
    nested: vcpus.some(({ nestedState }) => nestedState !== undefined && !isNestedIdle(nestedState)),
  }
}

/**
 * @param vcpus `undefined` where their state is of a version that this release does not read
 * @param versions of the file's format and of the manifest in it
 */
export const needsOf = (
  manifest: Manifest,
  vcpus: readonly VcpuState[] | undefined,
  versions: { readonly format: number; readonly manifest: number },
): SnapshotNeeds => {
  const { kernelRelease, kvmKind, kvmModules, capabilities } = manifest.host
  return {
    id: manifest.id,
    producer: manifest.producer,
    formatVersion: versions.format,
    architecture: manifest.architecture,
    vcpuCount: manifest.machine.vcpuCount,
    memoryBytes: manifest.machine.memoryBytes,
    components: [
      { name: "manifest", kind: ManifestComponent.kind, version: versions.manifest, optional: false },
      ...manifest.components.map(({ name, kind, version, optional }) => ({
        name,
        kind,
        version,
        optional: optional === true,
      })),
    ],
    vcpu: vcpus === undefined ? null : vcpuNeeds(vcpus),
    host: { kernelRelease, kvmKind, kvmModules, capabilities },
    memoryFile: manifest.memory.file,
    resources: manifest.resources.map(({ name, kind, path, size, modified }) => ({
      name,
      kind,
      path,
      size: size ?? null,
      modified: modified ?? null,
    })),
    parent: manifest.parent && { id: manifest.parent.id, digest: manifest.parent.digest },
  }
}

const isReadable = ({ kind, version }: Section): boolean =>
  kind === vcpuComponent.kind && version <= vcpuComponent.version

/**
 * From a whole state file, whatever else is in it.
 * @throws StateInvalid
 */
export const needsOfEnvelope = ({ header, manifest, manifestVersion, sections }: DecodedEnvelope): SnapshotNeeds => {
  const vcpus = sections.filter(({ kind }) => kind === vcpuComponent.kind)
  const states = vcpus.every(isReadable) ? vcpus.map((section) => decodeSection(vcpuComponent, section)) : undefined
  return needsOf(manifest, states, { format: header.formatVersion, manifest: manifestVersion })
}
