// time limit: 240 s
/** The commands that look at chains of snapshots and make others of them, with chains made by hand. No KVM. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import { flipBit } from "../support/sealed-chain.ts"
import { type ChainOfThree, chainOfThree } from "../support/sealed-chain-of-three.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { cryovm, type Ended } from "./support.ts"

interface Context extends ChainOfThree {
  path: string
  scratch: ReturnType<typeof temporaryDirectory>
}

const test = suite<Context>("cryovm snapshot, operations")

test.before.each(async (context) => {
  const scratch = temporaryDirectory()
  Object.assign(context, { scratch, path: scratch.path }, await chainOfThree(scratch.path))
})
test.after.each(({ scratch }) => scratch[Symbol.dispose]())

const succeeded = ({ code, stdout, stderr }: Ended): string => {
  assert.is(code, 0, stderr)
  assert.is(stderr, "")
  return stdout
}

/** The one line that a typed error is told in. */
const assertFailure = ({ code, stderr }: Ended, name: string, exitCode = 1): void => {
  assert.is(code, exitCode, stderr)
  assert.match(stderr, new RegExp(`^cryovm: .+ \\[${name}\\]\\n`))
  assert.not.match(stderr, /^ {4}at /m)
}

test("verify: what was looked at, and what is damaged, with exit code 1", async ({ base, middle, newest }) => {
  const whole = succeeded(await cryovm(["snapshot", "verify", newest.dir]))
  for (const { dir } of [base, middle, newest]) assert.match(whole, new RegExp(`^ok +${dir} `, "m"))
  assert.match(whole, "No damage in 3 snapshots.")
  assert.match(succeeded(await cryovm(["snapshot", "verify", newest.dir, "--no-chain"])), "No damage in 1 snapshot.")

  flipBit(join(base.dir, "memory.img"), 1000 * 4096, 0)
  const damaged = await cryovm(["snapshot", "verify", newest.dir])
  assert.is(damaged.code, 1)
  assert.is(damaged.stderr, "")
  assert.match(damaged.stdout, new RegExp(`^DAMAGED +${base.dir} `, "m"))
  assert.match(damaged.stdout, "guest memory at 0x300000 (1048576 bytes)")
  assert.match(damaged.stdout, "Damaged: 1 problem.")
  const json = await cryovm(["snapshot", "verify", newest.dir, "--json"])
  assert.is(json.code, 1)
  const { ok, links } = JSON.parse(json.stdout)
  assert.is(ok, false)
  assert.equal(links[2].problems[0].fileRange, { offset: 3145728, length: 1048576 })
})

test("diff: exits as diff(1) does, and tells components and pages", async ({ path, base, newest }) => {
  const same = await cryovm(["snapshot", "diff", base.dir, base.dir])
  assert.match(succeeded(same), "the same machine state and memory")
  const other = await cryovm(["snapshot", "diff", base.dir, newest.dir])
  assert.is(other.code, 1)
  assert.is(other.stderr, "")
  assert.match(other.stdout, "memory: 5 pages in 3 ranges, 20 KiB")
  assert.match(other.stdout, /^ +0x12d000 +8 KiB$/m)
  const json = JSON.parse((await cryovm(["snapshot", "diff", base.dir, newest.dir, "--json"])).stdout)
  assert.equal(json.memory.ranges[0], { guestAddress: 4096, size: 8192 })
  assertFailure(await cryovm(["snapshot", "diff", base.dir, join(path, "none")]), "CRYOVM_SNAPSHOT_NOT_FOUND", 2)
})

test("flatten, rebase, export and import: what is written is told, and is the same", async (context) => {
  const { path, base, newest, memoryOf } = context
  const at = (name: string) => join(path, name)
  const flattened = succeeded(await cryovm(["snapshot", "flatten", newest.dir, at("flat")]))
  assert.match(flattened, new RegExp(`^written to ${at("flat")}: full, 32 KiB of 32 MiB memory, `))
  const rebased = succeeded(await cryovm(["snapshot", "rebase", newest.dir, at("layer"), "--onto", base.dir, "--json"]))
  const { type, pages, dir } = JSON.parse(rebased)
  assert.equal({ type, pages, dir }, { type: "diff", pages: 5, dir: at("layer") })
  const exported = succeeded(await cryovm(["snapshot", "export", at("layer"), at("memory.bin")]))
  assert.match(exported, /memory\.bin: 32 MiB, 32 KiB of it no holes/)
  assert.is(Buffer.compare(readFileSync(at("memory.bin")), memoryOf.newest), 0)
  succeeded(await cryovm(["snapshot", "export", newest.dir, at("changes.bin"), "--changes-only", "--no-verify"]))
  succeeded(await cryovm(["snapshot", "import", newest.dir, at("memory.bin"), at("imported")]))
  for (const name of ["flat", "layer", "imported"]) {
    assert.is((await cryovm(["snapshot", "diff", newest.dir, at(name)])).code, 0, name)
  }
  assertFailure(await cryovm(["snapshot", "flatten", newest.dir, at("flat")]), "CRYOVM_SNAPSHOT_EXISTS")
  succeeded(await cryovm(["snapshot", "flatten", newest.dir, at("flat"), "--overwrite"]))
})

test("a parent that is elsewhere is found where it is said; damage is not taken over", async (context) => {
  const { path, base, newest } = context
  using elsewhere = temporaryDirectory()
  const layer = join(elsewhere.path, "layer")
  succeeded(await cryovm(["snapshot", "rebase", newest.dir, layer, "--onto", base.dir]))
  assertFailure(await cryovm(["snapshot", "flatten", layer, join(path, "flat")]), "CRYOVM_PARENT_MISSING")
  succeeded(await cryovm(["snapshot", "flatten", layer, join(path, "flat"), "--parents", path]))
  flipBit(join(base.dir, "memory.img"), 0, 0)
  const damaged = await cryovm(["snapshot", "flatten", layer, join(path, "bad"), "--parents", path])
  assertFailure(damaged, "CRYOVM_SNAPSHOT_DAMAGED")
  assert.not.ok(existsSync(join(path, "bad")))
})

test("tree: the forest with its orphans and what is damaged", async ({ path, middle, newest }) => {
  const { stdout } = await cryovm(["snapshot", "tree", path])
  const lines = stdout.split("\n")
  assert.match(lines[0] ?? "", /^SNAPSHOT +TYPE +LABEL +AGE +STATE +MEMORY$/)
  assert.match(lines[1] ?? "", /^base +full +"frozen host-profile" +\d+ \w+ +\d+ KiB +\d+ KiB$/)
  assert.match(lines[2] ?? "", /^└─ middle +diff /)
  assert.match(lines[3] ?? "", /^ {3}└─ newest +diff /)
  assert.is(lines.length, 5)
  const { folder, snapshots } = JSON.parse((await cryovm(["snapshot", "tree", path, "--json"])).stdout)
  assert.is(folder, path)
  assert.is(snapshots[0].children[0].children[0].dir, newest.dir)

  rmSync(middle.dir, { recursive: true })
  writeFileSync(join(path, "base", "state.cryo"), "no state at all")
  const broken = succeeded(await cryovm(["snapshot", "tree"], { cwd: path }))
  assert.match(broken, /^newest .+ORPHAN$/m)
  assert.match(broken, /^ +its parent, snapshot .+, is not in this folder$/m)
  assert.match(broken, /^base .+DAMAGED$/m)
})

test("tree of a folder without snapshots, and of none", async ({ path, base }) => {
  assert.match(succeeded(await cryovm(["snapshot", "tree", base.dir])), "No snapshots in")
  assertFailure(await cryovm(["snapshot", "tree", join(path, "none")]), "CRYOVM_SNAPSHOT_READ_FAILED")
})

test.run()
