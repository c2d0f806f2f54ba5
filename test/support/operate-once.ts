/**
 * Run as a process of its own, to be killed: gets ready, and when it is told to, writes one snapshot.
 *
 *   operate-once.js <operation> <directory with base, middle and newest> <out>
 */
import { once } from "node:events"
import { join } from "node:path"
import { flatten, MicroVm, rebase } from "../../src/index.ts"

/** What is killed. Each replaces a snapshot that is there. */
export const operations = ["full", "diff", "flatten", "rebase"] as const
export type Operation = (typeof operations)[number]

const [operation = "", sources = "", out = ""] = process.argv.slice(2)
const base = join(sources, "base")
const newest = join(sources, "newest")

/** Gets all ready. Gives what is left to do. */
const prepare: Readonly<Record<Operation, () => Promise<() => Promise<unknown>>>> = {
  full: async () => {
    const vm = await MicroVm.restore(newest)
    return () => vm.snapshot({ dir: out, overwrite: true })
  },
  diff: async () => {
    const vm = await MicroVm.restore(newest)
    return () => vm.snapshot({ dir: out, type: "diff", parent: base, overwrite: true })
  },
  flatten: async () => () => flatten(newest, out, { overwrite: true, verify: false }),
  rebase: async () => () => rebase(newest, out, { onto: base, overwrite: true, verify: false }),
}

if (process.send !== undefined) {
  const perform = await prepare[operation as Operation]()
  process.send("ready")
  await once(process, "message")
  await perform()
  process.send("done")
  process.exit()
}
