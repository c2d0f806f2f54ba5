/** The host in a few words. */
import { readFile } from "node:fs/promises"
import { cpus, release, totalmem } from "node:os"

export interface HostSummary {
  readonly kernelRelease: string
  readonly cpu: string
  readonly cpuCount: number
  readonly memoryBytes: number
  /** It runs under a hypervisor itself, as far as its processor tells. */
  readonly isVirtual: boolean
}

export const hostSummary = async (): Promise<HostSummary> => {
  const all = cpus()
  const flags = /^flags\s*:.*$/m.exec(await readFile("/proc/cpuinfo", "utf8").catch(() => ""))?.[0] ?? ""
  return {
    kernelRelease: release(),
    cpu: all[0]?.model.trim() ?? "unknown",
    cpuCount: all.length,
    memoryBytes: totalmem(),
    isVirtual: /\bhypervisor\b/.test(flags),
  }
}
