/** `cryovm doctor`: its shape anywhere, and its verdict where KVM works. */
import { test } from "uvu"
import * as assert from "uvu/assert"
import { isAtLeast } from "../../src/cli/doctor/platform-checks.ts"
import { kvmTest } from "../support/kvm.ts"
import { cryovm } from "./support.ts"

const needed = ["node", "platform", "addon", "kvm", "guest", "memory", "tmpdir", "cwd", "maxMapCount", "openFiles"]

test("--json has every check, and an exit code to match", async () => {
  const { code, stdout, stderr } = await cryovm(["doctor", "--json"])
  assert.is(stderr, "")
  const { ok, version, host, checks } = JSON.parse(stdout)
  assert.is(code, ok ? 0 : 1)
  assert.match(version, /^\d+\.\d+\.\d+/)
  assert.type(host.cpuCount, "number")
  assert.is(typeof host.isVirtual, "boolean")
  for (const { id, title, status, detail } of checks) {
    assert.ok(["ok", "warning", "missing"].includes(status), id)
    for (const text of [id, title, detail]) assert.ok(typeof text === "string" && text !== "", id)
  }
  const ids = checks.map(({ id }: { id: string }) => id)
  for (const id of needed) assert.ok(ids.includes(id), id)
  assert.is(new Set(ids).size, ids.length)
  assert.is(
    ok,
    checks.every(({ status }: { status: string }) => status !== "missing"),
  )
})

test("a wrong temporary directory is a warning with a remedy", async () => {
  const { stdout } = await cryovm(["doctor", "--json"], { env: { TMPDIR: "/nowhere" } })
  const found = JSON.parse(stdout).checks.find(({ id }: { id: string }) => id === "tmpdir")
  assert.is(found.status, "warning")
  assert.match(found.remedy, "TMPDIR")
})

kvmTest("says that this host can run guests", async () => {
  const { code, stdout } = await cryovm(["doctor"])
  assert.is(code, 0, stdout)
  assert.match(stdout, /^ {2}ok +a machine +can be made/m)
  assert.match(stdout, /^This host can run guests/m)
})

test("versions are compared by number", () => {
  assert.ok(isAtLeast("20.17.0", "20.17"))
  assert.ok(isAtLeast("20.20.2", "20.17"))
  assert.ok(isAtLeast("22.0.0", "20.17"))
  assert.not(isAtLeast("20.9.1", "20.17"))
  assert.not(isAtLeast("18.19.0", "20.17"))
})

test.run()
