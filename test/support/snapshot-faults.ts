/** Ways in which a snapshot comes to nothing, at every step of writing one. */
import { mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import type { MicroVm, SnapshotOptions } from "../../src/index.ts"
import { failingSync } from "./failing-sync.ts"
import { holdRename } from "./held-calls.ts"
import { smallFileSystem } from "./mounts.ts"

/** A diff or a full snapshot, but for where it goes. */
export type Wanted = { readonly type: "full" } | { readonly type: "diff"; readonly parent: string }

export interface SnapshotFault {
  readonly name: string
  /** The errno or code that the snapshot fails with. */
  readonly expected: string
  readonly needsMount?: boolean
  /** Tries to take a snapshot under a directory. Gives the errno or code of its failure. */
  readonly provoke: (vm: MicroVm, wanted: Wanted, under: string) => Promise<string>
}

const codeOf = async (saving: Promise<unknown>): Promise<string> => {
  try {
    await saving
    return "none"
  } catch (error) {
    const { errnoName, code, name } = error as { errnoName?: string; code?: string | number; name: string }
    return errnoName || (typeof code === "string" ? code : name)
  }
}

const optionsOf = (wanted: Wanted, dir: string): SnapshotOptions => ({ ...wanted, dir })

const fullDisk = (kib: number): SnapshotFault => ({
  name: `a disk that is full after ${kib} KiB`,
  expected: "ENOSPC",
  needsMount: true,
  provoke: async (vm, wanted) => {
    using disk = smallFileSystem(`size=${kib}k`)
    const code = await codeOf(vm.snapshot(optionsOf(wanted, join(disk.path, "snapshot"))))
    const left = readdirSync(disk.path)
    return left.length === 0 ? code : `${left.join(", ")} was left`
  },
})

const failedSync = (succeeding: number): SnapshotFault => ({
  name: `fsync ${succeeding + 1} fails`,
  expected: "EIO",
  provoke: async (vm, wanted, under) => {
    using _failing = await failingSync(succeeding)
    return await codeOf(vm.snapshot(optionsOf(wanted, join(under, `sync${succeeding}`))))
  },
})

const readOnly: SnapshotFault = {
  name: "a read-only file system",
  expected: "EROFS",
  needsMount: true,
  provoke: async (vm, wanted) => {
    using disk = smallFileSystem("size=1m")
    disk.remount("ro")
    return await codeOf(vm.snapshot(optionsOf(wanted, join(disk.path, "snapshot"))))
  },
}

const taken: SnapshotFault = {
  name: "its place is taken",
  expected: "CRYOVM_SNAPSHOT_EXISTS",
  provoke: (vm, wanted, under) => {
    mkdirSync(join(under, "taken", "something"), { recursive: true })
    return codeOf(vm.snapshot(optionsOf(wanted, join(under, "taken"))))
  },
}

const failedRename: SnapshotFault = {
  name: "the rename fails",
  expected: "EIO",
  provoke: async (vm, wanted, under) => {
    using held = holdRename()
    const saving = codeOf(vm.snapshot(optionsOf(wanted, join(under, "renamed"))))
    await held.reached
    held.letGo({ code: "EIO" })
    return await saving
  },
}

const aborted: SnapshotFault = {
  name: "aborted while pages are written",
  expected: "AbortError",
  provoke: (vm, wanted, under) => {
    const abort = new AbortController()
    const options = optionsOf(wanted, join(under, "aborted"))
    return codeOf(vm.snapshot({ ...options, signal: abort.signal, onProgress: () => abort.abort() }))
  },
}

const abortedLate: SnapshotFault = {
  name: "aborted when it is being renamed, which then is done",
  expected: "AbortError",
  provoke: async (vm, wanted, under) => {
    const abort = new AbortController()
    using held = holdRename()
    const saving = codeOf(vm.snapshot({ ...optionsOf(wanted, join(under, "late")), signal: abort.signal }))
    await held.reached
    abort.abort()
    held.letGo()
    return await saving
  },
}

/** From the first to the last step. Some pages and a table take 20 KiB, the state 10 KiB and more. */
export const snapshotFaults: readonly SnapshotFault[] = [
  taken,
  readOnly,
  ...[4, 12, 20, 28].map(fullDisk),
  aborted,
  ...[0, 1, 2, 3].map(failedSync),
  failedRename,
  abortedLate,
]
