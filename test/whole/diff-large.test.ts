// time limit: 300 s
/** Diffs of a machine with memory on both sides of the gap below 4 GiB, of which little is touched. */
import { statSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm, type MicroVmConfig } from "../../src/index.ts"
import { pagesOfDiff } from "../support/flat-memory.ts"
import { kvmTest } from "../support/kvm.ts"
import { COMMAND_ADDRESS, HIGH_ADDRESS, Puppet, puppetMachine } from "../support/puppet.ts"
import { assertSameDigests } from "../support/same-snapshot.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { trackingModes } from "../support/tracking-modes.ts"

const PAGE = 4096
const MIB = 2 ** 20
const GIB = 2 ** 30
const config: MicroVmConfig = { ...puppetMachine, memoryMib: 3.5 * 1024 }
const LOW_ADDRESS = 900 * MIB
/** In flat memory the regions are behind each other. */
const flat = (address: number): number => (address < 4 * GIB ? address : address - GIB)

const touchBoth = async (puppet: Puppet): Promise<void> => {
  for (const address of [LOW_ADDRESS, HIGH_ADDRESS]) await puppet.fill(address, 5n, 1024)
}

for (const { name, begin, first, later } of trackingModes) {
  kvmTest(`${name}: two diffs of 3.5 GiB are small, and restored as a full snapshot is`, async () => {
    using scratch = temporaryDirectory()
    await using machine = await begin(config, scratch.path, touchBoth)
    const { vm, puppet, base } = machine
    const [one, two, full, again] = ["1", "2", "full", "again"].map((dir) => join(scratch.path, dir)) as [
      string,
      string,
      string,
      string,
    ]
    await puppet.store(LOW_ADDRESS + PAGE, 0x11)
    await puppet.fill(HIGH_ADDRESS, 0n, 512)
    const { tracking } = await vm.snapshot({ dir: one, type: "diff", parent: base })
    assert.is(tracking, first)
    const pages = await pagesOfDiff(one)
    assert.equal(pages.held, [COMMAND_ADDRESS, LOW_ADDRESS + PAGE])
    assert.equal(pages.zero, [flat(HIGH_ADDRESS)])
    await puppet.store(HIGH_ADDRESS + PAGE, 0x22)
    await vm.pause()
    const second = await vm.snapshot({ dir: two, type: "diff", parent: one })
    assert.is(second.tracking, later)
    assert.equal((await pagesOfDiff(two)).held, [COMMAND_ADDRESS, flat(HIGH_ADDRESS + PAGE)])
    assert.ok(statSync(join(two, "memory.diff")).blocks * 512 < MIB)
    await vm.snapshot({ dir: full })
    await using copy = await MicroVm.restore(two)
    await copy.snapshot({ dir: again })
    await assertSameDigests(full, again)
    await copy.resume()
    await using there = new Puppet(copy)
    assert.equal(
      [
        await there.readByte(LOW_ADDRESS),
        await there.readByte(LOW_ADDRESS + PAGE),
        await there.readByte(HIGH_ADDRESS),
        await there.readByte(HIGH_ADDRESS + PAGE),
      ],
      [5, 0x11, 0, 0x22],
    )
  })
}

test.run()
