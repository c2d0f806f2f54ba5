/** What this host's KVM can do. */
import { type HostUnsupported, KvmError } from "../../index.ts"
import { KVM_DEVICE, missingOf, probeHost } from "../../machine/host.ts"
import type { NativeHostProbe } from "../../native.ts"
import { run } from "../../promise.ts"
import { type Check, check, messageOf } from "./check.ts"

/** Capabilities that are good to have, by their names without `KVM_CAP_`, and what each is for. */
const USEFUL: ReadonlyMap<string, string> = new Map([
  ["XSAVE2", "guests with large vector state (AMX)"],
  ["GET_TSC_KHZ", "snapshots that tell the frequency of the guest's TSC"],
  ["TSC_CONTROL", "restoring a snapshot from a host whose TSC has another frequency"],
  ["KVMCLOCK_CTRL", "telling a guest that it was paused, so that its watchdogs keep quiet"],
  ["NESTED_STATE", "saving guests that run virtual machines themselves"],
  ["MANUAL_DIRTY_LOG_PROTECT2", "tracking the pages that a guest has changed at low cost"],
])

/** The library's message has found and remedy in one, where it knows a remedy. */
const unusable = (error: unknown): Check => {
  const [, remedy] = /^\S+ cannot be used: (.*)$/s.exec(messageOf(error)) ?? []
  const { cause } = error as HostUnsupported
  const isKnown = cause instanceof KvmError && ["ENOENT", "EACCES", "EPERM"].includes(cause.errnoName)
  if (isKnown && remedy !== undefined) {
    return check("kvm", KVM_DEVICE, false, `cannot be opened (${cause.errnoName})`, { remedy })
  }
  return check("kvm", KVM_DEVICE, false, remedy ?? messageOf(error), {
    remedy: "it has to be the host kernel's KVM: load kvm_intel or kvm_amd, or pass the device into the container",
  })
}

const needed = (probe: NativeHostProbe): readonly Check[] => {
  const missing = missingOf(probe)
  const isApiWrong = missing.some((line) => line.startsWith("KVM API"))
  const capabilities = missing.filter((line) => !line.startsWith("KVM API"))
  return [
    check("kvmApi", "KVM API", !isApiWrong, `version ${probe.apiVersion}, on Linux ${probe.kernelRelease}`, {
      remedy: "use a newer host kernel",
      value: probe.apiVersion,
    }),
    check(
      "kvmCapabilities",
      "KVM capabilities",
      capabilities.length === 0,
      capabilities.length === 0 ? "all that are needed" : `missing: ${capabilities.join(", ")}`,
      { remedy: "use a newer host kernel; in a nested machine, one whose hypervisor passes them on" },
    ),
  ]
}

const useful = ({ capabilities }: NativeHostProbe): readonly Check[] =>
  [...USEFUL].map(([name, purpose]) => {
    const value = capabilities[name] ?? 0
    return check(
      `kvmCap${name}`,
      `KVM_CAP_${name}`,
      value > 0,
      `${value > 0 ? "" : "not there; it is for "}${purpose}`,
      {
        otherwise: "warning",
        value,
      },
    )
  })

export const checkKvm = async (): Promise<readonly Check[]> => {
  let probe: NativeHostProbe
  try {
    probe = await run(probeHost)
  } catch (error) {
    return [unusable(error)]
  }
  return [check("kvm", KVM_DEVICE, true, "can be opened"), ...needed(probe), ...useful(probe)]
}
