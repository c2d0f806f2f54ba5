/** What this process holds of the system, for leak tests. */
import { readdirSync, readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { loadNative } from "../../src/native.ts"

export interface Holdings {
  readonly descriptors: number
  readonly threads: number
  /** Lines of /proc/self/maps that are guest memory or kvm_run pages. */
  readonly machineMappings: number
  readonly liveVms: number
  readonly liveMemories: number
  readonly liveThreads: number
}

/** Counts after what ends asynchronously has had time to. */
export const holdings = async (): Promise<Holdings> => {
  await sleep(50)
  const live = loadNative().liveObjects()
  const maps = readFileSync("/proc/self/maps", "utf8").split("\n")
  return {
    descriptors: readdirSync("/proc/self/fd").length,
    threads: readdirSync("/proc/self/task").length,
    machineMappings: maps.filter((line) => /kvm-vcpu|memory\.(img|diff)/.test(line)).length,
    liveVms: live.vms,
    liveMemories: live.memories,
    liveThreads: live.threads,
  }
}

/** Resident set of this process, in bytes. */
export const residentSet = (): number => {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))
  return Number(match?.[1]) * 1024
}
