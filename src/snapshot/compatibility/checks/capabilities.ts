import { KVM_API_VERSION, requiredCapabilities } from "../../../machine/host.ts"
import type { HostProfile } from "../../../machine/host-profile.ts"
import type { Finding } from "../finding.ts"
import type { SnapshotNeeds } from "../needs.ts"
import type { Check } from "./check.ts"

/** Capabilities that a restore can do without, with what is then missed. */
const USEFUL: ReadonlyMap<string, string> = new Map([
  ["GET_TSC_KHZ", "whether the TSC has the right frequency cannot be told"],
  ["KVMCLOCK_CTRL", "the guest is not told that it was stopped, and its watchdogs may speak"],
  ["SREGS2", "a guest in PAE paging loses its page directory pointers"],
])

/** What this guest makes of KVM, beyond what every guest does. */
const neededBy = ({ vcpu }: SnapshotNeeds): ReadonlyMap<string, string> => {
  const needed = new Map(requiredCapabilities)
  if (vcpu === null) return needed
  const usesXsave = vcpu.features.some(
    ({ leaf, subleaf, register }) => leaf === 0xd && subleaf === 0 && register === "eax",
  )
  if (usesXsave) needed.set("XCRS", "the guest's XSAVE")
  if (vcpu.nested) needed.set("NESTED_STATE", "the guest's own guest")
  return needed
}

const missing = (needs: SnapshotNeeds, { capabilities }: HostProfile): readonly Finding[] =>
  [...neededBy(needs)]
    .filter(([name]) => (capabilities[name] ?? 0) <= 0)
    .map(([name, purpose]) => ({
      code: "kvm-capability-missing",
      severity: "blocker",
      subject: `KVM_CAP_${name}`,
      expected: `there, for ${purpose}`,
      actual: "not there",
      remedy: "restore on a host with a newer kernel, or another kind of KVM",
    }))

const lost = ({ host: writer }: SnapshotNeeds, { capabilities }: HostProfile): readonly Finding[] =>
  [...USEFUL]
    .filter(([name]) => (writer.capabilities[name] ?? 0) > 0 && (capabilities[name] ?? 0) <= 0)
    .map(([name, consequence]) => ({
      code: "kvm-capability-lost",
      severity: "care",
      subject: `KVM_CAP_${name}`,
      expected: "there, as on the host it was saved on",
      actual: `not there: ${consequence}`,
      remedy: "restore on a host with a newer kernel where that matters",
    }))

const api = ({ kvmApiVersion }: HostProfile): readonly Finding[] =>
  kvmApiVersion === KVM_API_VERSION
    ? []
    : [
        {
          code: "kvm-api",
          severity: "blocker",
          subject: "KVM API",
          expected: `version ${KVM_API_VERSION}`,
          actual: `version ${kvmApiVersion}`,
          remedy: "restore on a host with another kernel",
        },
      ]

/** KVM there can do what the restore and the guest ask of it. */
export const checkCapabilities: Check = (needs, host) => [...api(host), ...missing(needs, host), ...lost(needs, host)]
