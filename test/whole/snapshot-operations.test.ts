// time limit: 300 s
/** What is made of the snapshots of a real machine: it is restored, and its guest goes on. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import {
  compareSnapshots,
  exportMemory,
  flatten,
  importMemory,
  MicroVm,
  rebase,
  verifySnapshot,
} from "../../src/index.ts"
import { countsTo } from "../support/exchange.ts"
import { failureOf } from "../support/failure.ts"
import { flatMemoryOf } from "../support/flat-memory.ts"
import { kvmTest } from "../support/kvm.ts"
import { mergeDiff } from "../support/merge-diff.ts"
import { holdings } from "../support/process.ts"
import { Puppet, puppetMachine } from "../support/puppet.ts"
import { flipBit } from "../support/sealed-chain.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { highMemoryMachine } from "../support/tiny-kernel.ts"

const MIB = 2 ** 20

interface Chain {
  readonly base: string
  readonly middle: string
  readonly newest: string
}

/** A guest that fills memory, and a difference for each of two steps. */
const saveChain = async (under: string): Promise<Chain> => {
  const [base, middle, newest] = ["base", "middle", "newest"].map((name) => join(under, name)) as [
    string,
    string,
    string,
  ]
  await using vm = await MicroVm.create({ ...puppetMachine, trackDirtyPages: true })
  await vm.start()
  await using puppet = new Puppet(vm)
  await puppet.fill(8 * MIB, 0x11n, 512)
  await puppet.fill(9 * MIB, 0x22n, 1024)
  await vm.snapshot({ dir: base })
  await puppet.fill(8 * MIB, 0x33n, 512)
  await puppet.fill(9 * MIB, 0n, 1024)
  await vm.snapshot({ dir: middle, type: "diff", parent: base })
  await puppet.fill(10 * MIB, 0x44n, 512)
  await vm.snapshot({ dir: newest, type: "diff", parent: middle })
  return { base, middle, newest }
}

/** The guest of the newest snapshot goes on: it reads what it wrote, and writes. */
const assertGoesOn = async (dir: string): Promise<void> => {
  await using vm = await MicroVm.restore(dir, { resume: true, verify: true })
  await using puppet = new Puppet(vm)
  assert.equal(
    [await puppet.readByte(8 * MIB), await puppet.readByte(9 * MIB), await puppet.readByte(10 * MIB)],
    [0x33, 0, 0x44],
    dir,
  )
  await puppet.fill(11 * MIB, 0x55n, 512)
  assert.is(await puppet.readByte(11 * MIB), 0x55)
}

kvmTest("a chain verifies, and so does what is made of it; all of it is the same machine", async () => {
  using scratch = temporaryDirectory()
  const { base, middle, newest } = await saveChain(scratch.path)
  const at = (name: string) => join(scratch.path, name)
  assert.ok((await verifySnapshot(newest)).ok)

  await flatten(newest, at("flat"))
  await rebase(newest, at("onto-base"), { onto: base })
  await exportMemory(newest, at("memory.bin"))
  await importMemory(newest, at("memory.bin"), at("imported"))
  // By hand: the memory of the base, and what each difference changed.
  await exportMemory(base, at("merged.bin"))
  for (const layer of [middle, newest]) {
    await exportMemory(layer, at("changes.bin"), { changesOnly: true, overwrite: true })
    mergeDiff(scratch.path, at("changes.bin"), at("merged.bin"))
  }
  await importMemory(newest, at("merged.bin"), at("by-hand"))
  await rebase(at("flat"), at("back"), { onto: newest })

  const memory = await flatMemoryOf(newest)
  assert.is(Buffer.compare(memory, readFileSync(at("memory.bin"))), 0)
  for (const name of ["flat", "onto-base", "imported", "by-hand", "back"]) {
    assert.ok((await verifySnapshot(at(name))).ok, name)
    assert.is(Buffer.compare(memory, await flatMemoryOf(at(name))), 0, name)
    const { identical, sections } = await compareSnapshots(newest, at(name))
    assert.ok(identical, name)
    assert.equal(sections, [])
    await assertGoesOn(at(name))
  }
})

kvmTest("two snapshots of a guest that has gone on differ where it did", async () => {
  using scratch = temporaryDirectory()
  const { middle, newest } = await saveChain(scratch.path)
  const { identical, sections, memory } = await compareSnapshots(middle, newest)
  assert.not.ok(identical)
  assert.ok(sections.some(({ name }) => name === "vcpu0"))
  assert.ok(
    memory?.ranges.some(({ guestAddress, size }) => guestAddress <= 10 * MIB && guestAddress + size >= 10 * MIB + 4096),
  )
  assert.ok((memory?.pages ?? 0) < 16, `${memory?.pages} pages`)
})

kvmTest("memory on both sides of 4 GiB: flattened, exported, imported", async () => {
  using scratch = temporaryDirectory()
  const at = (name: string) => join(scratch.path, name)
  {
    await using vm = await MicroVm.create(highMemoryMachine)
    await vm.start()
    await countsTo(vm, 1)
    await vm.snapshot({ dir: at("base") })
    await countsTo(vm, 2)
    await vm.snapshot({ dir: at("layer"), type: "diff", parent: at("base") })
  }
  await flatten(at("layer"), at("flat"))
  await rebase(at("layer"), at("empty"), { onto: at("flat") })
  await exportMemory(at("empty"), at("memory.bin"))
  await importMemory(at("layer"), at("memory.bin"), at("imported"))
  for (const name of ["layer", "flat", "empty", "imported"]) {
    assert.ok((await verifySnapshot(at(name))).ok, name)
    assert.ok((await compareSnapshots(at("layer"), at(name))).identical, name)
    await using vm = await MicroVm.restore(at(name), { resume: true })
    await countsTo(vm, 3)
  }
  const { memory } = await compareSnapshots(at("base"), at("flat"))
  assert.ok(memory?.ranges.some(({ guestAddress }) => guestAddress === 2 ** 32 + 0x200000))
})

kvmTest("a restore that is told to look for damage finds it before anything is made", async () => {
  using scratch = temporaryDirectory()
  const { base, newest } = await saveChain(scratch.path)
  await assertGoesOn(newest)
  const before = await holdings()
  flipBit(join(base, "memory.img"), 9 * MIB + 5, 2)
  const error = (await failureOf(MicroVm.restore(newest, { verify: true }))) as unknown as {
    readonly code: string
    readonly message: string
    readonly links: Awaited<ReturnType<typeof verifySnapshot>>["links"]
  }
  assert.is(error.code, "CRYOVM_SNAPSHOT_DAMAGED")
  assert.match(error.message, /0x900000/)
  assert.equal(
    error.links.map(({ problems }) => problems.length),
    [0, 0, 1],
  )
  assert.equal(await holdings(), before)
  // Not asked, it does not look.
  await using vm = await MicroVm.restore(newest)
  assert.is(vm.state, "paused")
})

test.run()
