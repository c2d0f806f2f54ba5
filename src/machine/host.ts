/**
 * What this host's KVM must be able to do.
 */
import * as Effect from "effect/Effect"
import { loadNative, type NativeAddonMissing, type NativeHostProbe, toKvmError } from "../native.ts"
import { HostUnsupported } from "./errors.ts"

export const KVM_DEVICE = "/dev/kvm"

export const KVM_API_VERSION = 12

/** Capabilities that nothing here works without, by their names without `KVM_CAP_`, and what each is for. */
export const requiredCapabilities: ReadonlyMap<string, string> = new Map([
  ["IRQCHIP", "interrupt controllers in the kernel"],
  ["USER_MEMORY", "guest memory"],
  ["SET_TSS_ADDR", "real mode on Intel"],
  ["SET_IDENTITY_MAP_ADDR", "real mode on Intel"],
  ["EXT_CPUID", "the guest's CPUID"],
  ["MP_STATE", "saving vCPUs"],
  ["DESTROY_MEMORY_REGION_WORKS", "changing guest memory"],
  ["IRQFD", "device interrupts"],
  ["IOEVENTFD", "device notifications"],
  ["PIT2", "the guest's timer"],
  ["PIT_STATE2", "saving the timer"],
  ["VCPU_EVENTS", "saving vCPUs"],
  ["DEBUGREGS", "saving vCPUs"],
  ["XSAVE", "saving vCPUs"],
  ["ADJUST_CLOCK", "saving the guest's clock"],
  ["IMMEDIATE_EXIT", "pausing"],
])

const openRemedies: Readonly<Record<string, string>> = {
  ENOENT:
    "the host has no KVM: enable virtualisation in its firmware, or nested virtualisation for this machine, and load kvm_intel or kvm_amd",
  EACCES: 'this user may not open it: add the user to group "kvm"',
  EPERM: 'this user may not open it: add the user to group "kvm", or allow the device in the container',
}

const cannotOpen = (thrown: unknown): HostUnsupported => {
  const cause = toKvmError(thrown)
  const remedy = openRemedies[cause.errnoName] ?? cause.message
  return new HostUnsupported({ message: `${KVM_DEVICE} cannot be used: ${remedy}`, missing: [KVM_DEVICE], cause })
}

/** What is missing of what is needed, one line each. */
export const missingOf = (probe: NativeHostProbe): readonly string[] => {
  const missing = [...requiredCapabilities]
    .filter(([name]) => (probe.capabilities[name] ?? 0) <= 0)
    .map(([name, purpose]) => `KVM_CAP_${name} (${purpose})`)
  if (probe.apiVersion === KVM_API_VERSION) return missing
  return [`KVM API version ${KVM_API_VERSION} (found ${probe.apiVersion})`, ...missing]
}

/** Asks the host, without judging. */
export const probeHost: Effect.Effect<NativeHostProbe, HostUnsupported | NativeAddonMissing> = Effect.gen(function* () {
  const native = yield* Effect.try({ try: loadNative, catch: (error) => error as NativeAddonMissing })
  return yield* Effect.try({ try: () => native.probeHost(KVM_DEVICE), catch: cannotOpen })
})

/** What the host said once is taken to stay so: a KVM exchanged under a process without machines goes unnoticed. */
let provenHost: NativeHostProbe | undefined

/** Asks the host, the first time in a process, and fails with everything that is missing. */
export const requireHost: Effect.Effect<NativeHostProbe, HostUnsupported | NativeAddonMissing> = Effect.gen(
  function* () {
    if (provenHost !== undefined) return provenHost
    const probe = yield* probeHost
    const missing = missingOf(probe)
    if (missing.length === 0) {
      provenHost = probe
      return probe
    }
    return yield* new HostUnsupported({
      message: `this host's KVM lacks ${missing.join(", ")}; a newer host kernel is needed`,
      missing,
    })
  },
)
