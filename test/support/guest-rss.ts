/** Resident memory of a guest as the operating system counts it, not as this library does. */
import { readFileSync } from "node:fs"

export const KIB = 1024
export const MIB = 1024 * KIB

/** One mapping of /proc/self/smaps. */
interface Mapping {
  readonly name: string
  readonly rss: number
  readonly flags: readonly string[]
}

const parse = (smaps: string): readonly Mapping[] =>
  smaps
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((entry) => entry !== "")
    .map((entry) => ({
      name: /^\S+ \S+ \S+ \S+ \d+ *(.*)$/m.exec(entry)?.[1] ?? "",
      rss: Number(/^Rss:\s+(\d+) kB$/m.exec(entry)?.[1] ?? 0) * KIB,
      flags: (/^VmFlags: (.*)$/m.exec(entry)?.[1] ?? "").trim().split(" "),
    }))

/**
 * Rss of the mappings of guest memory in this process, in bytes: those left out of core dumps (`dd`) and reserving
 * nothing (`nr`), which nothing else here is. Of one machine, if there is only one.
 */
export const guestRss = (): number =>
  parse(readFileSync("/proc/self/smaps", "utf8"))
    .filter(({ name, flags }) => !name.startsWith("[") && flags.includes("dd") && flags.includes("nr"))
    .reduce((total, { rss }) => total + rss, 0)
