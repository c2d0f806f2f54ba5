import type { Check } from "./check.ts"

const MIB = 2 ** 20
const inMib = (bytes: number): string => `${Math.floor(bytes / MIB)} MiB`

/** Guest memory comes out of the host's page by page, as the guest uses it. */
export const checkMemory: Check = ({ memoryBytes }, host) => {
  const finding = { subject: "memory", expected: inMib(memoryBytes) }
  if (host.memoryBytes !== null && memoryBytes > host.memoryBytes) {
    const remedy = "restore on a host with more memory"
    const actual = `${inMib(host.memoryBytes)} in all`
    return [{ ...finding, code: "memory-too-small", severity: "blocker", actual, remedy }]
  }
  if (host.availableMemoryBytes !== null && memoryBytes > host.availableMemoryBytes) {
    const remedy = "free memory first: a guest that comes to use all of its own ends with the host out of memory"
    const actual = `${inMib(host.availableMemoryBytes)} available`
    return [{ ...finding, code: "memory-scarce", severity: "care", actual, remedy }]
  }
  return []
}
