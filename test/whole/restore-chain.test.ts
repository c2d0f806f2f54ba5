// time limit: 180 s
/** Machines that come back from differences made by hand, out of full snapshots of the same machine. */
import { readFileSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { checkCompatibility, inspectSnapshot, MicroVm, type MicroVmConfig } from "../../src/index.ts"
import { cryovm } from "../cli/support.ts"
import { type HandMade, readHandMade, writeDiffOf } from "../support/diff-chain.ts"
import { countsTo } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { everyDeviceMachine, highMemoryMachine } from "../support/tiny-kernel.ts"

/** Full snapshots of one machine that counts, one at each of the counts. */
const lifeOf = async (
  folder: string,
  config: MicroVmConfig,
  counts: readonly number[],
): Promise<readonly HandMade[]> => {
  await using vm = await MicroVm.create(config)
  await vm.start()
  const taken: HandMade[] = []
  let counted = 0
  for (const [index, count] of counts.entries()) {
    while (counted < count) await countsTo(vm, ++counted)
    const dir = join(folder, `full-${index}`)
    await vm.snapshot({ dir })
    taken.push(readHandMade(dir))
  }
  return taken
}

/** The first of the full snapshots, and the others as differences, each to the one before. */
const chainOf = (
  folder: string,
  full: readonly HandMade[],
  ranges?: readonly (readonly [number, number])[],
): readonly HandMade[] => {
  const chain = full.slice(0, 1)
  for (let index = 1; index < full.length; index++) {
    const [before, after, parent] = [full[index - 1], full[index], chain[index - 1]] as [HandMade, HandMade, HandMade]
    chain.push(writeDiffOf(join(folder, `diff-${index}`), parent, before, after, ranges))
  }
  return chain
}

kvmTest("every snapshot of a chain is restored, and saves the memory that it was taken of", async () => {
  using scratch = temporaryDirectory()
  const counts = [2, 5, 6]
  const full = await lifeOf(scratch.path, everyDeviceMachine, counts)
  const chain = chainOf(scratch.path, full)
  for (const [index, { dir }] of chain.entries()) {
    await using vm = await MicroVm.restore(dir)
    const again = join(scratch.path, `again-${index}`)
    await vm.snapshot({ dir: again })
    const memory = (of: string) => readFileSync(join(of, "memory.img"))
    assert.is(Buffer.compare(memory(again), memory(full[index]?.dir ?? "")), 0)
    await vm.resume()
    await countsTo(vm, (counts[index] ?? 0) + 1)
  }
  const newest = chain[2]?.dir ?? ""
  assert.is((await inspectSnapshot(newest)).type, "diff")
  assert.equal(await checkCompatibility(newest), { verdict: "runs", findings: [] })
})

kvmTest("a chain over memory on both sides of the gap below 4 GiB", async () => {
  using scratch = temporaryDirectory()
  const counts = [3, 4, 6]
  const full = await lifeOf(scratch.path, highMemoryMachine, counts)
  const MIB = 2 ** 20
  // What this guest writes to: its page tables, and its counter in the second region.
  const chain = chainOf(scratch.path, full, [
    [0, 4 * MIB],
    [3 * 2 ** 30, 4 * MIB],
  ])
  for (const [index, count] of counts.entries()) {
    await using vm = await MicroVm.restore(chain[index]?.dir ?? "", { resume: true })
    await countsTo(vm, count + 1)
  }
})

kvmTest("parents elsewhere are named, to a restore and to a check, and a machine outlives their names", async () => {
  using scratch = temporaryDirectory()
  const full = await lifeOf(scratch.path, everyDeviceMachine, [2, 3])
  const chain = chainOf(scratch.path, full)
  const { dir } = chain[1] as HandMade
  using elsewhere = temporaryDirectory()
  const moved = join(elsewhere.path, "moved")
  renameSync(chain[0]?.dir ?? "", moved)
  // The other full snapshot is no parent, however much it is like it.
  const error = await MicroVm.restore(dir).catch((cause: unknown) => cause)
  assert.is((error as { code?: string }).code, "CRYOVM_PARENT_MISSING")
  const { verdict, findings } = await checkCompatibility(dir)
  assert.is(verdict, "will-not-run")
  assert.equal(
    findings.map(({ code }) => code),
    ["parent-missing"],
  )
  for (const parents of [[moved], [elsewhere.path]]) {
    assert.is((await checkCompatibility(dir, undefined, { parents })).verdict, "runs")
    await using vm = await MicroVm.restore(dir, { parents, resume: true })
    await countsTo(vm, 4)
  }
  await using vm = await MicroVm.restore(dir, { parents: [moved] })
  rmSync(moved, { recursive: true })
  rmSync(dir, { recursive: true })
  await vm.resume()
  await countsTo(vm, 4)
})

kvmTest("a machine is rolled back to any snapshot of a chain, and forth again", async () => {
  using scratch = temporaryDirectory()
  const chain = chainOf(scratch.path, await lifeOf(scratch.path, everyDeviceMachine, [11, 22, 33]))
  await using vm = await MicroVm.restore(chain[2]?.dir ?? "", { resume: true })
  for (const index of [1, 2, 0]) {
    await vm.restoreFrom(chain[index]?.dir ?? "")
    await countsTo(vm, 11 * (index + 1) + 1)
  }
})

kvmTest("the command takes parents, too", async () => {
  using scratch = temporaryDirectory()
  const [base, diff] = chainOf(scratch.path, await lifeOf(scratch.path, everyDeviceMachine, [1, 2]))
  using elsewhere = temporaryDirectory()
  renameSync(base?.dir ?? "", join(elsewhere.path, "moved"))
  const dir = diff?.dir ?? ""
  const restored = (args: readonly string[]) => cryovm(["restore", dir, "--keep-paused", "--json", ...args])
  assert.match((await restored([])).stderr, /\[CRYOVM_PARENT_MISSING\]/)
  const parents = ["--parents", scratch.path, elsewhere.path]
  const { code, stdout, stderr } = await restored(parents)
  assert.is(code, 0, stderr)
  assert.is(JSON.parse(stdout).state, "paused")
  assert.is((await cryovm(["snapshot", "check", dir])).code, 1)
  assert.is((await cryovm(["snapshot", "check", dir, ...parents])).code, 0)
})

kvmTest("files of the chain that are cut are found by a check", async () => {
  using scratch = temporaryDirectory()
  const chain = chainOf(scratch.path, await lifeOf(scratch.path, everyDeviceMachine, [2, 3, 4]))
  rmSync(join(chain[0]?.dir ?? "", "memory.img"))
  rmSync(join(chain[1]?.dir ?? "", "memory.diff"))
  const { findings } = await checkCompatibility(chain[2]?.dir ?? "")
  assert.equal(
    findings.map(({ code, subject }) => [code, subject]),
    [
      ["memory-file", join(chain[1]?.dir ?? "", "memory.diff")],
      ["memory-file", join(chain[0]?.dir ?? "", "memory.img")],
    ],
  )
})

test.run()
