/** The ways in which a diff finds what changed, each with a machine that makes it choose that way. */
import { join } from "node:path"
import { MicroVm, type MicroVmConfig, type SnapshotInfo } from "../../src/index.ts"
import { Puppet } from "./puppet.ts"

/** A running machine whose guest waits for its next command, and a snapshot of it that it is some way on from. */
export interface Tracked extends AsyncDisposable {
  readonly vm: MicroVm
  readonly puppet: Puppet
  readonly base: string
}

export interface TrackingMode {
  readonly name: string
  /** How the first diff to the base finds what changed, and how each to the diff before it. */
  readonly first: SnapshotInfo["tracking"]
  readonly later: SnapshotInfo["tracking"]
  /**
   * @param under a directory for snapshots
   * @param prepare what the guest does before the base is saved
   */
  readonly begin: (config: MicroVmConfig, under: string, prepare: (puppet: Puppet) => Promise<void>) => Promise<Tracked>
}

const tracked = (vm: MicroVm, puppet: Puppet, base: string): Tracked => ({
  vm,
  puppet,
  base,
  [Symbol.asyncDispose]: async () => {
    await puppet[Symbol.asyncDispose]()
    await vm.stop()
  },
})

/** @param base where its snapshot goes */
const created = async (config: MicroVmConfig, base: string, prepare: (puppet: Puppet) => Promise<void>) => {
  const vm = await MicroVm.create(config)
  await vm.start()
  const puppet = new Puppet(vm)
  await prepare(puppet)
  await vm.snapshot({ dir: base })
  return tracked(vm, puppet, base)
}

const restored =
  (trackDirtyPages: boolean): TrackingMode["begin"] =>
  async (config, under, prepare) => {
    await using first = await created(config, join(under, "base"), prepare)
    const vm = await MicroVm.restore(first.base, { trackDirtyPages, resume: true })
    return tracked(vm, new Puppet(vm), first.base)
  }

/** The base is itself a diff, of single pages here and there. */
const restoredFromChain: TrackingMode["begin"] = async (config, under, prepare) => {
  const base = join(under, "base")
  {
    await using first = await created(config, join(under, "root"), prepare)
    for (const mib of [12, 13, 14]) await first.puppet.store(mib * 2 ** 20, mib)
    await first.vm.snapshot({ dir: base, type: "diff", parent: first.base })
  }
  const vm = await MicroVm.restore(base, { resume: true })
  return tracked(vm, new Puppet(vm), base)
}

export const trackingModes: readonly TrackingMode[] = [
  {
    name: "created, with a log",
    first: "dirty-log",
    later: "dirty-log",
    begin: (config, under, prepare) => created({ ...config, trackDirtyPages: true }, join(under, "base"), prepare),
  },
  {
    name: "created, without a log",
    first: "compare",
    later: "compare",
    begin: (config, under, prepare) => created(config, join(under, "base"), prepare),
  },
  { name: "restored, with a log", first: "dirty-log", later: "dirty-log", begin: restored(true) },
  { name: "restored, without a log", first: "pagemap", later: "compare", begin: restored(false) },
  { name: "restored from a chain, without a log", first: "pagemap", later: "compare", begin: restoredFromChain },
]
