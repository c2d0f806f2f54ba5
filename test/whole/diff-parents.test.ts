/** What a diff can be taken to, and what it cannot be taken to, or over: nothing is written then. */
import { mkdirSync, readdirSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { inspectSnapshot, MicroVm, type SnapshotOptions } from "../../src/index.ts"
import { exchange } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { counterMachine } from "../support/tiny-kernel.ts"

interface Refused {
  readonly code: string
  readonly field?: string
  readonly message: string
}

const refused = (saving: Promise<unknown>): Promise<Refused> =>
  saving.then(
    () => {
      throw new Error("it succeeded")
    },
    (error: Refused) => error,
  )

const running = async (memoryMib: number): Promise<MicroVm> => {
  const vm = await MicroVm.create({ ...counterMachine, memoryMib })
  await vm.start()
  return vm
}

kvmTest("options that are none, or contradict each other, are refused by the name of the field", async () => {
  using scratch = temporaryDirectory()
  await using vm = await running(32)
  const dir = join(scratch.path, "diff")
  const wrong: readonly (readonly [string, object])[] = [
    ["type", { dir, type: "Diff", parent: scratch.path }],
    ["type", { dir, type: 1 }],
    ["parent", { dir, type: "diff" }],
    ["parent", { dir, type: "diff", parent: "" }],
    ["parent", { dir, type: "diff", parent: 7 }],
    ["parent", { dir, parent: scratch.path }],
    ["parent", { dir, type: "full", parent: scratch.path }],
  ]
  for (const [field, options] of wrong) {
    const error = await refused(vm.snapshot(options as SnapshotOptions))
    assert.equal([error.code, error.field], ["CRYOVM_SNAPSHOT_OPTIONS_INVALID", field])
    assert.match(error.message, field)
  }
  assert.equal(readdirSync(scratch.path), [])
})

kvmTest("a parent that is not there, or of a machine with other memory, is refused", async () => {
  using scratch = temporaryDirectory()
  await using vm = await running(32)
  const [dir, other] = [join(scratch.path, "diff"), join(scratch.path, "other")]
  {
    await using larger = await running(33)
    await larger.snapshot({ dir: other })
  }
  const missing = await refused(vm.snapshot({ dir, type: "diff", parent: join(scratch.path, "nothing") }))
  assert.is(missing.code, "CRYOVM_SNAPSHOT_NOT_FOUND")
  const mismatch = await refused(vm.snapshot({ dir, type: "diff", parent: other }))
  assert.is(mismatch.code, "CRYOVM_PARENT_OF_OTHER_MACHINE")
  assert.match(mismatch.message, /other memory/)
  assert.equal(readdirSync(scratch.path), ["other"])
  assert.is(vm.state, "running")
})

kvmTest("a diff never replaces a snapshot that it needs, whatever that is called", async () => {
  using scratch = temporaryDirectory()
  await using vm = await running(32)
  const [base, diff] = [join(scratch.path, "base"), join(scratch.path, "diff")]
  await vm.snapshot({ dir: base })
  await vm.snapshot({ dir: diff, type: "diff", parent: base })
  mkdirSync(join(scratch.path, "links"))
  symlinkSync(scratch.path, join(scratch.path, "links", "here"))
  for (const dir of [base, diff, join(scratch.path, "links", "here", "base")]) {
    const error = await refused(vm.snapshot({ dir, type: "diff", parent: diff, overwrite: true }))
    assert.equal([error.code, error.field], ["CRYOVM_SNAPSHOT_OPTIONS_INVALID", "dir"])
  }
  await vm.snapshot({ dir: join(scratch.path, "next"), type: "diff", parent: diff })
  await vm.snapshot({ dir: join(scratch.path, "next"), type: "diff", parent: diff, overwrite: true })
  await using copy = await MicroVm.restore(join(scratch.path, "next"))
  assert.is(copy.state, "paused")
})

kvmTest("a parent may be elsewhere, and its own parents elsewhere again, which is told", async () => {
  using scratch = temporaryDirectory()
  const [base, first, second] = ["one/base", "two/first", "three/second"].map((name) => join(scratch.path, name)) as [
    string,
    string,
    string,
  ]
  for (const folder of ["one", "two", "three"]) mkdirSync(join(scratch.path, folder))
  await using vm = await running(32)
  await vm.snapshot({ dir: base })
  await vm.snapshot({ dir: first, type: "diff", parent: base })
  assert.is((await refused(vm.snapshot({ dir: second, type: "diff", parent: first }))).code, "CRYOVM_PARENT_MISSING")
  const { parent } = await vm.snapshot({ dir: second, type: "diff", parent: first, parents: [base] })
  assert.is(parent?.dir, first)
  assert.is((await inspectSnapshot(second)).parent?.name, undefined)
  await vm.snapshot({ dir: join(scratch.path, "three", "third"), type: "diff", parent: second, parents: [first, base] })
  assert.is((await inspectSnapshot(join(scratch.path, "three", "third"))).parent?.name, "second")
  await using copy = await MicroVm.restore(second, { parents: [join(scratch.path, "two"), base], resume: true })
  assert.equal(await exchange(copy, "ab"), [1, 2])
})

test.run()
