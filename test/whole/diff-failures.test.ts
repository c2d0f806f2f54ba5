// time limit: 300 s
/** A snapshot that fails, at whatever step, loses no page: the next diff to the same parent has them all. */
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { KvmError, type NativeVm } from "../../src/native.ts"
import { differingPages, flatMemoryOf, pagesOfDiff } from "../support/flat-memory.ts"
import { kvmTest } from "../support/kvm.ts"
import { canMount } from "../support/mounts.ts"
import { COMMAND_ADDRESS, type Puppet, puppetMachine } from "../support/puppet.ts"
import { changedKvm, failureOf } from "../support/roll-back.ts"
import { type SnapshotFault, snapshotFaults, type Wanted } from "../support/snapshot-faults.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { type TrackingMode, trackingModes } from "../support/tracking-modes.ts"

const PAGE = 4096
const WORDS = PAGE / 8
const ARENA = 8 * 2 ** 20

/** So that no page table changes any more. */
const touchArena = (puppet: Puppet): Promise<void> => puppet.fill(ARENA, 1n, 1)

const mountTest = canMount() ? kvmTest : (name: string, callback: () => Promise<void>) => test.skip(name, callback)
const groups = [
  { register: kvmTest, where: "", faults: snapshotFaults.filter(({ needsMount }) => needsMount !== true) },
  {
    register: mountTest,
    where: " on a disk of its own",
    faults: snapshotFaults.filter(({ needsMount }) => needsMount),
  },
]

/** Lets each fault happen between two writes, and takes a diff of both. */
const surviveAll = async ({ begin }: TrackingMode, type: Wanted["type"], faults: readonly SnapshotFault[]) => {
  using scratch = temporaryDirectory()
  await using machine = await begin(puppetMachine, scratch.path, touchArena)
  const { vm, puppet } = machine
  let parent = machine.base
  let value = 2n
  for (const [index, fault] of faults.entries()) {
    const under = join(scratch.path, `fault${index}`)
    mkdirSync(under)
    await puppet.fill(ARENA + 3 * PAGE, value++, 3 * WORDS)
    assert.is(await fault.provoke(vm, type === "full" ? { type } : { type, parent }, under), fault.expected, fault.name)
    assert.is(vm.state, "running")
    await puppet.fill(ARENA + 40 * PAGE, value++, WORDS)
    await vm.pause()
    const [diff, full] = [join(scratch.path, `diff${index}`), join(scratch.path, `full${index}`)]
    await vm.snapshot({ dir: diff, type: "diff", parent })
    await vm.snapshot({ dir: full })
    await vm.resume()
    const pages = [3, 4, 5, 40].map((page) => ARENA + page * PAGE)
    assert.equal((await pagesOfDiff(diff)).held, [COMMAND_ADDRESS, ...pages], fault.name)
    assert.equal(differingPages(await flatMemoryOf(diff), await flatMemoryOf(full)), [], fault.name)
    parent = full
  }
}

const withLog = trackingModes.filter(({ later }) => later === "dirty-log")
const withoutLog = trackingModes.filter(({ later }) => later !== "dirty-log")

for (const mode of withLog) {
  for (const type of ["diff", "full"] as const) {
    for (const { register, where, faults } of groups) {
      register(`${mode.name}: a ${type} snapshot that fails${where} costs the next diff no page`, () =>
        surviveAll(mode, type, faults),
      )
    }
  }
}

for (const mode of withLog) {
  kvmTest(`${mode.name}: a log that KVM would not read or clear costs the next diff no page`, async () => {
    let refuses: keyof NativeVm | undefined
    using _changed = changedKvm((vm) => {
      for (const call of ["getDirtyLog", "clearDirtyLog"] as const) {
        const real = vm[call].bind(vm) as (...given: readonly unknown[]) => unknown
        const value = (...given: readonly unknown[]) => {
          if (refuses === call)
            throw new KvmError({ message: "for the test", operation: call, errno: 12, errnoName: "ENOMEM" })
          return real(...given)
        }
        Object.defineProperty(vm, call, { value })
      }
    })
    const faults = (["getDirtyLog", "clearDirtyLog"] as const).map(
      (call): SnapshotFault => ({
        name: call,
        expected: "ENOMEM",
        provoke: async (vm, wanted, under) => {
          refuses = call
          const failure = await failureOf<KvmError>(vm.snapshot({ ...wanted, dir: join(under, "refused") }))
          refuses = undefined
          return failure.errnoName
        },
      }),
    )
    await surviveAll(mode, "diff", faults)
  })
}

// Nothing is kept there that a failure could lose: the first and the last fault will do.
for (const mode of withoutLog) {
  kvmTest(`${mode.name}: a snapshot that fails costs the next diff no page`, () =>
    surviveAll(mode, "diff", snapshotFaults.slice(0, 1).concat(snapshotFaults.slice(-1))),
  )
}

test.run()
