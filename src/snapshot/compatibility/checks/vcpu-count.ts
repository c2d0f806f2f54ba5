import type { Check } from "./check.ts"

/** KVM_CAP_MAX_VCPUS is the most there can be, KVM_CAP_NR_VCPUS what is recommended: the host's processors. */
export const checkVcpuCount: Check = ({ vcpuCount }, { capabilities }) => {
  const most = capabilities["MAX_VCPUS"] ?? 0
  const recommended = capabilities["NR_VCPUS"] ?? 0
  const finding = { code: "vcpu-count", subject: "vCPUs", expected: `${vcpuCount}` } as const
  if (most > 0 && vcpuCount > most) {
    const remedy = "restore on a host whose KVM gives a guest more vCPUs"
    return [{ ...finding, severity: "blocker", actual: `at most ${most}`, remedy }]
  }
  if (recommended > 0 && vcpuCount > recommended) {
    const remedy = "its vCPUs wait for each other; restore on a host with more processors where that matters"
    return [{ ...finding, severity: "care", actual: `${recommended} recommended`, remedy }]
  }
  return []
}
