import type { HostProfile } from "../../../machine/host-profile.ts"
import type { CpuidEntry } from "../../../machine/kvm/cpuid.ts"
import { type FeatureBits, featuresOf, lostFeatures, uniteFeatures } from "../../../machine/kvm/cpuid-features.ts"
import type { Check } from "./check.ts"

/** Bits that cryovm sets by itself in what it shows: HYPERVISOR, HTT, CMP_LEGACY (`machine/boot/cpuid.ts`). */
const OURS: readonly FeatureBits[] = [
  { leaf: 1, subleaf: 0, register: "ecx", bits: (1 << 31) >>> 0 },
  { leaf: 1, subleaf: 0, register: "edx", bits: 1 << 28 },
  { leaf: 0x8000_0001, subleaf: 0, register: "ecx", bits: 1 << 1 },
]

/** KVM tells of it as a capability (KVM API, 4.46). */
const TSC_DEADLINE: FeatureBits = { leaf: 1, subleaf: 0, register: "ecx", bits: 1 << 24 }

/** The profile of this host stays the same through all restores. */
const known = new WeakMap<readonly CpuidEntry[], readonly FeatureBits[]>()

const supportedFeatures = (entries: readonly CpuidEntry[]): readonly FeatureBits[] => {
  const before = known.get(entries)
  if (before !== undefined) return before
  const features = uniteFeatures([featuresOf(entries), OURS])
  known.set(entries, features)
  return features
}

/** What a guest can be shown on a host; `null` where that is not known. */
export const featuresOfHost = ({ supportedCpuid, capabilities }: HostProfile): readonly FeatureBits[] | null => {
  if (supportedCpuid === null) return null
  const features = supportedFeatures(supportedCpuid)
  return (capabilities["TSC_DEADLINE_TIMER"] ?? 0) > 0 ? uniteFeatures([features, [TSC_DEADLINE]]) : features
}

/**
 * What the guest was set to be shown is still to be had. No more than that is asserted: some kinds of KVM show a guest
 * the host's own features whatever is set.
 */
export const checkFeatures: Check = ({ vcpu }, host) => {
  if (vcpu === null) return []
  const supported = featuresOfHost(host)
  if (supported === null) {
    return [
      {
        code: "cpu-features-unknown",
        severity: "care",
        subject: "processor features",
        expected: "those the guest was shown",
        actual: "the profile does not tell",
        remedy: "take the profile anew with this release of cryovm",
      },
    ]
  }
  return lostFeatures(vcpu.features, supported).map(({ name, place, isPromise }) => ({
    code: isPromise ? "cpu-promise-lost" : "cpu-feature-lost",
    severity: isPromise ? "care" : "blocker",
    subject: name,
    expected: name === place ? `${place} set` : `${name} (${place}), which the guest was shown`,
    actual: "not supported by the host's KVM",
    remedy: isPromise
      ? "the guest relies on the lack of something that this host may have; boot anew where that matters"
      : "restore on a host whose KVM supports it, or boot the guest anew where it is to run",
  }))
}
