/**
 * What kind of KVM this host has, by what its kernel shows: flags of the processor and loaded modules. Where one of
 * them cannot be seen, the kind is not known.
 */
import { closeSync, openSync, readdirSync, readSync } from "node:fs"
import type { StoredHostProfile } from "../state/host-profile.ts"

export type KvmKind = NonNullable<StoredHostProfile["kvmKind"]>

export interface KvmEvidence {
  /** Flags of a processor in `/proc/cpuinfo`; `null` where they cannot be read. */
  readonly cpuFlags: ReadonlySet<string> | null
  /** Modules under `/sys/module` that begin with `kvm`, built into the kernel or loaded. */
  readonly modules: readonly string[] | null
}

/** The first processor's entry is no longer; the kernel makes up the others only as they are read. */
const CPUINFO_BYTES = 16384

const quietly = <A>(read: () => A): A | null => {
  try {
    return read()
  } catch {
    return null
  }
}

const cpuFlags = (): ReadonlySet<string> | null =>
  quietly(() => {
    const descriptor = openSync("/proc/cpuinfo", "r")
    try {
      const bytes = Buffer.alloc(CPUINFO_BYTES)
      const text = bytes.toString("latin1", 0, readSync(descriptor, bytes, 0, bytes.length, 0))
      const line = /^flags\s*:(.*)$/m.exec(text)?.[1]
      return line === undefined ? null : new Set(line.trim().split(/\s+/))
    } finally {
      closeSync(descriptor)
    }
  })

const modules = (): readonly string[] | null =>
  quietly(() => {
    const found = readdirSync("/sys/module").filter((name) => /^kvm(_|$)/.test(name))
    // KVM itself has parameters and is always there; without it this is no view of this kernel's modules.
    return found.includes("kvm") ? found.sort() : null
  })

export const kvmEvidence = (): KvmEvidence => ({ cpuFlags: cpuFlags(), modules: modules() })

/** `kvm_intel` serves guests by VT-x and `kvm_amd` by AMD-V, each only on a processor that has it. */
export const kvmKindOf = ({ cpuFlags: flags, modules: loaded }: KvmEvidence): KvmKind | null => {
  if (flags === null || loaded === null) return null
  if (loaded.includes("kvm_intel") && flags.has("vmx")) return "vmx"
  if (loaded.includes("kvm_amd") && flags.has("svm")) return "svm"
  return "other"
}
