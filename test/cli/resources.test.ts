// time limit: 120 s
/** `--resource` of `cryovm restore` and `snapshot check`. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { kvmTest } from "../support/kvm.ts"
import { snapshotOf } from "../support/roll-back.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { counterMachine } from "../support/tiny-kernel.ts"
import { nameResources } from "../support/with-resources.ts"
import { cryovm } from "./support.ts"

kvmTest("other places are given by name, as often as there are resources", async () => {
  using scratch = temporaryDirectory()
  const dir = await snapshotOf(counterMachine, scratch.path)
  const names = ["disk0", "disk1"]
  await nameResources(
    dir,
    names.map((name) => ({ name, kind: "disk", path: `/gone/${name}` })),
  )
  const restore = (...options: string[]) => cryovm(["restore", dir, "--keep-paused", "--json", ...options])
  const refused = await restore("--resource", "disk2=/a")
  assert.is(refused.code, 1)
  for (const name of names) assert.match(refused.stderr, `${name}: disk /gone/${name}: it is not there`)
  assert.match(refused.stderr, "disk2: the snapshot has no resource of that name; it has disk0, disk1")
  assert.is(JSON.parse(refused.stdout).error.code, "CRYOVM_RESOURCES_REFUSED")

  const places = names.map((name) => join(scratch.path, `${name}=copy`))
  for (const place of places) writeFileSync(place, "content")
  const options = names.flatMap((name, index) => ["--resource", `${name}=${places[index]}`])
  const restored = await restore(...options)
  assert.is(restored.code, 0, restored.stderr)
  assert.is(JSON.parse(restored.stdout).state, "paused")

  const check = (...given: string[]) => cryovm(["snapshot", "check", dir, "--json", ...given])
  assert.is(JSON.parse((await check()).stdout).verdict, "will-not-run")
  assert.is(JSON.parse((await check(...options)).stdout).verdict, "runs")
})

test("what is not NAME=PATH, or given twice, is a mistake of the command line", async () => {
  for (const options of [["disk0"], ["=path"], ["disk0="], ["disk0=/a", "--resource", "disk0=/b"]]) {
    const { code, stderr } = await cryovm(["restore", "/nowhere", "--resource", ...options])
    assert.is(code, 2, stderr)
    assert.match(stderr, /--resource/)
  }
})

test.run()
