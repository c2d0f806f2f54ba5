/** Diffs of a machine that is rolled back: its memory is another one from then on. */
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import type { MicroVm } from "../../src/index.ts"
import { differingPages, flatMemoryOf } from "../support/flat-memory.ts"
import { holdMemoryFile } from "../support/held-calls.ts"
import { kvmTest } from "../support/kvm.ts"
import { puppetMachine } from "../support/puppet.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { trackingModes } from "../support/tracking-modes.ts"

const ARENA = 8 * 2 ** 20

/** Takes a diff and a full snapshot of one pause, and holds them against each other. Gives how changes were found. */
const checkedDiff = async (vm: MicroVm, under: string, name: string, parent: string) => {
  await vm.pause()
  const [diff, full] = [join(under, name), join(under, `${name}-full`)]
  const { tracking } = await vm.snapshot({ dir: diff, type: "diff", parent })
  await vm.snapshot({ dir: full })
  assert.equal(differingPages(await flatMemoryOf(diff), await flatMemoryOf(full)), [])
  await vm.resume()
  return tracking
}

for (const { name, begin, later } of trackingModes) {
  const hasLog = later === "dirty-log"
  kvmTest(`${name}: after a roll back diffs are of the machine that came back`, async () => {
    using scratch = temporaryDirectory()
    await using machine = await begin(puppetMachine, scratch.path, (puppet) => puppet.fill(ARENA, 1n, 512))
    const { vm, puppet, base } = machine
    const parent = join(scratch.path, "parent")
    await puppet.fill(ARENA, 2n, 1024)
    await vm.snapshot({ dir: parent, type: "diff", parent: base })
    await vm.restoreFrom(base)
    await puppet.fill(ARENA + 0x5000, 3n, 1)
    assert.is(await checkedDiff(vm, scratch.path, "1", parent), "compare")
    assert.is(await checkedDiff(vm, scratch.path, "2", base), "pagemap")
    await vm.restoreFrom(base)
    await puppet.fill(ARENA + 0x6000, 4n, 1)
    assert.is(await checkedDiff(vm, scratch.path, "3", base), hasLog ? "dirty-log" : "pagemap")
  })

  kvmTest(`${name}: rolled back while a diff is about to be taken, it is of the machine that came back`, async () => {
    using scratch = temporaryDirectory()
    await using machine = await begin(puppetMachine, scratch.path, (puppet) => puppet.fill(ARENA, 1n, 512))
    const { vm, puppet, base } = machine
    const [parent, diff] = [join(scratch.path, "parent"), join(scratch.path, "diff")]
    await puppet.fill(ARENA, 2n, 1024)
    await vm.snapshot({ dir: parent, type: "diff", parent: base })
    using held = holdMemoryFile()
    const saving = vm.snapshot({ dir: diff, type: "diff", parent })
    await held.reached
    await vm.pause()
    await vm.restoreFrom(base)
    held.letGo()
    assert.is((await saving).tracking, "compare")
    assert.equal(differingPages(await flatMemoryOf(diff), await flatMemoryOf(base)), [])
  })
}

test.run()
