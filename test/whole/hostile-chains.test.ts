// time limit: 300 s
// runs alone
/** Chains of which some file is damaged: each is refused with a typed error or is a machine, and none leaves anything. */
import { cpSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { encodeEnvelope } from "../../src/state/envelope.ts"
import { type HandMade, readHandMade, writeDiffOf } from "../support/diff-chain.ts"
import { countsTo } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { holdings, residentSet } from "../support/process.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { everyDeviceMachine } from "../support/tiny-kernel.ts"

const MIB = 2 ** 20

/** A full snapshot and two differences, `0`, `1` and `2`. */
const makeChain = async (folder: string): Promise<readonly [HandMade, HandMade, HandMade]> => {
  const dirOf = (index: number) => join(folder, String(index))
  await using vm = await MicroVm.create(everyDeviceMachine)
  await vm.start()
  const full: HandMade[] = []
  for (let count = 1; count <= 3; count++) {
    await countsTo(vm, count)
    const dir = count === 1 ? dirOf(0) : join(folder, `full-${count}`)
    await vm.snapshot({ dir })
    full.push(readHandMade(dir))
  }
  const [first, second, third] = full as [HandMade, HandMade, HandMade]
  const middle = writeDiffOf(dirOf(1), first, first, second)
  const newest = writeDiffOf(dirOf(2), middle, second, third)
  for (const { dir } of [second, third]) rmSync(dir, { recursive: true })
  return [first, middle, newest]
}

/** The code of the typed error that a restore ends in; `undefined` where it is a machine after all. */
const outcome = async (dir: string): Promise<string | undefined> => {
  const vm = await MicroVm.restore(dir).catch((error: { readonly code: string }) => {
    assert.match(String(error.code), /^CRYOVM_/, `no typed error: ${String(error)}`)
    return error
  })
  if (!(vm instanceof MicroVm)) return vm.code
  await vm.stop()
  return undefined
}

kvmTest("every kind of damage to a chain has its typed error", async () => {
  using scratch = temporaryDirectory()
  const [full, middle, newest] = await makeChain(scratch.path)
  const broken = async (damage: (dirs: readonly [string, string, string]) => void): Promise<string | undefined> => {
    using copy = temporaryDirectory()
    const at = join(copy.path, "chain")
    cpSync(scratch.path, at, { recursive: true })
    damage([join(at, "0"), join(at, "1"), join(at, "2")])
    return await outcome(join(at, "2"))
  }
  const flip = (path: string, at: number) => {
    const bytes = readFileSync(path)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    writeFileSync(path, bytes)
  }
  assert.is(await broken(() => {}), undefined)
  assert.is(await broken(([base]) => rmSync(base, { recursive: true })), "CRYOVM_PARENT_MISSING")
  assert.is(await broken(([, diff]) => rmSync(join(diff, "state.cryo"))), "CRYOVM_PARENT_MISSING")
  assert.is(await broken(([base]) => flip(join(base, "state.cryo"), 60)), "CRYOVM_PARENT_MISSING")
  assert.is(await broken(([base]) => flip(join(base, "state.cryo"), 400)), "CRYOVM_PARENT_UNREADABLE")
  assert.is(await broken(([base]) => truncateSync(join(base, "state.cryo"), 1000)), "CRYOVM_PARENT_MISSING")
  const relabelled = encodeEnvelope({
    manifest: { ...full.manifest, createdAt: "2026-01-31T12:00:00.000Z" },
    sections: full.sections,
  })
  assert.is(await broken(([base]) => writeFileSync(join(base, "state.cryo"), relabelled)), "CRYOVM_PARENT_MISMATCH")
  assert.is(await broken(([base]) => rmSync(join(base, "memory.img"))), "CRYOVM_MEMORY_FILE_INVALID")
  assert.is(await broken(([, diff]) => truncateSync(join(diff, "memory.diff"), MIB)), "CRYOVM_MEMORY_FILE_INVALID")
  const toZero = (dir: string) => {
    rmSync(join(dir, "memory.diff"))
    symlinkSync("/dev/zero", join(dir, "memory.diff"))
  }
  assert.is(await broken(([, diff]) => toZero(diff)), "CRYOVM_MEMORY_FILE_INVALID")
  const tableOf = ({ manifest }: HandMade): number => manifest.memory.diff?.tableOffset ?? 0
  assert.is(await broken(([, diff]) => flip(join(diff, "memory.diff"), tableOf(middle))), "CRYOVM_MEMORY_DIFF_INVALID")
  assert.is(
    await broken(([, , diff]) => flip(join(diff, "memory.diff"), tableOf(newest) + 32)),
    "CRYOVM_MEMORY_DIFF_INVALID",
  )
})

kvmTest("a thousand damaged chains map nothing and leave nothing behind", async () => {
  using scratch = temporaryDirectory()
  const chain = await makeChain(scratch.path)
  const files = chain.flatMap(({ dir, manifest }, index) => {
    const memory = join(dir, manifest.memory.file.name)
    const table = manifest.memory.diff?.tableOffset
    const state = { path: join(dir, "state.cryo"), from: 0 }
    // A page of the base that is damaged is one of the guest's affairs: there is nothing to refuse.
    return index === 0 || table === undefined ? [state] : [state, { path: memory, from: table }]
  })
  const contents = files.map(({ path }) => readFileSync(path))
  const dir = chain[2].dir
  const attempt = async (round: number): Promise<void> => {
    const victim = round % files.length
    const { path, from } = files[victim] as (typeof files)[number]
    const content = contents[victim] as Buffer
    // A place that moves over the whole of it, and another bit each time around; sometimes it is cut there.
    const place = from + ((round * 7919) % (content.length - from))
    const bytes = round % 11 === 0 ? Buffer.from(content.subarray(0, place)) : Buffer.from(content)
    if (place < bytes.length) bytes[place] = (bytes[place] ?? 0) ^ (1 << (round % 8))
    writeFileSync(path, bytes)
    await outcome(dir)
    writeFileSync(path, content)
  }
  for (let round = 0; round < 100; round++) await attempt(round)
  const before = await holdings()
  const residentBefore = residentSet()
  for (let round = 100; round < 1100; round++) await attempt(round)
  assert.equal(await holdings(), before)
  const growth = residentSet() - residentBefore
  assert.ok(growth < 64 * MIB, `resident set grew by ${growth} bytes over 1,000 tries`)
  assert.is(await outcome(dir), undefined)
})

test.run()
