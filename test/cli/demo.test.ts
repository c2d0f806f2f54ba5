// time limit: 300 s
/** The demo, end to end. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { kvmTest } from "../support/kvm.ts"
import { cryovm, start } from "./support.ts"

const parent = mkdtempSync(join(tmpdir(), "cryovm-cli-"))
test.after(() => rmSync(parent, { recursive: true, force: true }))

kvmTest("a guest that is saved goes on in another process, and in two clones", async () => {
  const snapshot = join(parent, "kept")
  const { code, stdout, stderr } = await cryovm(["demo", "--json", "--keep", snapshot])
  assert.is(code, 0, stderr)
  assert.is(stderr, "")
  const told = JSON.parse(stdout)
  assert.is(told.ok, true)
  assert.equal(told.problems, [])
  const { beforeSnapshot, afterRestore, later } = told.counter
  assert.is(afterRestore.bootNonce, beforeSnapshot.bootNonce)
  assert.ok(afterRestore.value > beforeSnapshot.value)
  assert.ok(later.value > afterRestore.value + 1)
  assert.is.not(told.processes.first, told.processes.second)
  assert.throws(() => process.kill(told.processes.first, 0), /ESRCH/)
  assert.match(told.command.output, /^Linux .* x86_64/)
  assert.equal(
    told.clones.map(({ name, note }: { name: string; note: string }) => [name, note]),
    [
      ["A", "A"],
      ["B", "B"],
    ],
  )
  for (const name of ["boot", "pause", "save", "restore", "resume", "restoreToFirstAnswer", "clonesToFirstAnswer"]) {
    assert.ok(told.milliseconds[name] > 0, name)
  }
  const memory = told.files.find(({ name }: { name: string }) => name === "memory.img")
  assert.is(memory.bytes, 128 * 2 ** 20)
  assert.ok(memory.diskBytes > 0 && memory.diskBytes < memory.bytes)
  assert.equal(readdirSync(snapshot).sort(), ["memory.img", "state.cryo"])
})

kvmTest("interrupted while it boots, it leaves neither process nor file", async () => {
  const { child, ended } = start(["demo"], { env: { TMPDIR: parent } })
  const pid = await new Promise<number>((resolve) => {
    child.stdout?.once("data", (piece: Buffer) => resolve(Number(/process (\d+)/.exec(piece.toString())?.[1])))
  })
  assert.ok(existsSync(`/proc/${pid}`))
  child.kill("SIGINT")
  const { code, stderr } = await ended
  assert.is(code, 130)
  assert.is(stderr, "cryovm: interrupted by SIGINT\n")
  assert.not(existsSync(`/proc/${pid}`))
  assert.equal(
    readdirSync(parent).filter((name) => name.startsWith("cryovm-demo")),
    [],
  )
})

test.run()
