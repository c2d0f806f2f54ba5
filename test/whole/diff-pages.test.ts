// time limit: 300 s
/** A diff holds the pages that changed since its parent, and no others, however it finds them. */
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { differingPages, flatMemoryOf, pagesOfDiff } from "../support/flat-memory.ts"
import { kvmTest } from "../support/kvm.ts"
import { COMMAND_ADDRESS, type Puppet, puppetMachine } from "../support/puppet.ts"
import { assertSame } from "../support/same-snapshot.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { trackingModes } from "../support/tracking-modes.ts"

const PAGE = 4096
const MIB = 2 ** 20
const WORDS = PAGE / 8
/** Of the 32 MiB; below are page tables and code, and the page of commands at 3 MiB. */
const FIRST_MIB = 4
const LAST_MIB = 31

/** Touches every 2 MiB, so that no page table changes any more, and fills some pages that are to become zero. */
const prepare = async (puppet: Puppet): Promise<void> => {
  for (let mib = 0; mib <= LAST_MIB; mib += 2) await puppet.fill(mib * MIB + 0xff000, 1n, 1)
  for (const page of [0, 1, 2, 3]) await puppet.fill(FIRST_MIB * MIB + page * PAGE, 7n, WORDS)
}

for (const { name, begin, first, later } of trackingModes) {
  kvmTest(`${name}: a diff after scattered writes has exactly those pages`, async () => {
    using scratch = temporaryDirectory()
    await using machine = await begin(puppetMachine, scratch.path, prepare)
    const { vm, puppet, base } = machine
    const written = [5, 5.5, 9, 17, 30].map((mib) => mib * MIB)
    for (const address of written) await puppet.store(address + 1000, 0x1234)
    const zeroed = [1, 2].map((page) => FIRST_MIB * MIB + page * PAGE)
    await puppet.fill(zeroed[0] ?? 0, 0n, 2 * WORDS)
    await vm.pause()
    const [diff, full] = [join(scratch.path, "diff"), join(scratch.path, "full")]
    const info = await vm.snapshot({ dir: diff, type: "diff", parent: base })
    await vm.snapshot({ dir: full })
    assert.equal([info.type, info.tracking, info.parent?.dir], ["diff", first, base])
    const pages = await pagesOfDiff(diff)
    assert.equal(pages.held, [COMMAND_ADDRESS, ...written])
    assert.equal(pages.zero, zeroed)
    assert.is(info.pages, written.length + 1 + zeroed.length)
    assert.is(info.writtenBytes, (written.length + 1) * PAGE)
    assert.equal(differingPages(await flatMemoryOf(diff), await flatMemoryOf(full)), [])
  })

  kvmTest(`${name}: a chain of ten diffs is restored as a full snapshot of the same pause is`, async () => {
    using scratch = temporaryDirectory()
    await using machine = await begin(puppetMachine, scratch.path, prepare)
    const { vm, puppet } = machine
    let parent = machine.base
    for (let link = 1; link <= 10; link++) {
      // Some pages again and again, some once, and one that is zero in every other link.
      for (const page of [0, link % 3, 10 + link, 20 + 3 * link]) {
        await puppet.fill((FIRST_MIB + 2) * MIB + page * PAGE, BigInt(link), WORDS)
      }
      await puppet.fill(20 * MIB, link % 2 === 0 ? 0n : 9n, WORDS)
      if (link === 10) await vm.pause()
      const dir = join(scratch.path, String(link))
      const { tracking } = await vm.snapshot({ dir, type: "diff", parent })
      assert.is(tracking, link === 1 ? first : later)
      parent = dir
    }
    const full = join(scratch.path, "full")
    await vm.snapshot({ dir: full })
    await using copy = await MicroVm.restore(parent)
    const again = join(scratch.path, "again")
    await copy.snapshot({ dir: again })
    await assertSame(full, again)
  })
}

test.run()
