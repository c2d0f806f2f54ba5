// time limit: 600 s
/** The benchmark, in its smallest size: that it measures, not what. */
import { execFile } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { test } from "uvu"
import * as assert from "uvu/assert"
import type { ScenarioResult } from "../../bench/measure.ts"
import { kvmTest } from "../support/kvm.ts"

const program = fileURLToPath(new URL("../../bench/main.js", import.meta.url))

const folder = mkdtempSync(join(tmpdir(), "cryovm-test-bench-"))
test.after(() => rmSync(folder, { recursive: true, force: true }))

interface Ended {
  readonly code: unknown
  readonly stdout: string
  readonly stderr: string
}

const bench = (...args: readonly string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(process.execPath, [program, "--folder", folder, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr })
    })
  })

/** Without those that take long, and those that other tests of theirs run. */
const names = ["dump", "diff", "written", "diff-pause", "verify", "laid", "chain", "flatten", "qemu"]
/** Not everywhere: what it is compared with has to be installed. */
const optional = "qemu"

const isTime = (value: number | undefined): boolean => value !== undefined && Number.isFinite(value) && value > 0

kvmTest("every scenario about snapshots measures both sides, and leaves no file", async () => {
  const only = names.flatMap((name) => ["--only", name])
  const { code, stdout, stderr } = await bench("--json", "--runs", "1", "--memory", "64", ...only)
  // 1: something cost more than its target, which nobody can promise on a machine that does other things, too.
  assert.ok(code === 0 || code === 1, stderr)
  assert.is(stderr, "")
  const { scenarios, skipped } = JSON.parse(stdout)
  const measured: readonly ScenarioResult[] = scenarios
  const left = skipped.map(({ name }: { readonly name: string }) => name)
  assert.equal([...measured.map(({ name }) => name), ...left].sort(), [...names].sort())
  assert.ok(left.every((name: string) => name === optional))
  for (const { name, steps, conclusions } of measured) {
    assert.ok(steps.length > 0, name)
    for (const { step, cryovm } of steps) assert.ok(isTime(cryovm.median), `${name}: ${step}`)
    assert.ok(
      steps.some(({ floor }) => isTime(floor?.median)),
      name,
    )
    for (const conclusion of conclusions) assert.ok(Number.isFinite(conclusion.value), `${name}: ${conclusion.name}`)
  }
  assert.equal(readdirSync(folder), [])
})

test("a scenario that there is none of is refused by name", async () => {
  const { code, stderr } = await bench("--only", "warp")
  assert.is(code, 1)
  assert.match(stderr, /--only warp: there are boot, /)
})

test.run()
