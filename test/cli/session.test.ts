// time limit: 240 s
/** `cryovm run` and `cryovm restore` with a real guest: booted once, restored for all the rest. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { kvmTest } from "../support/kvm.ts"
import { cryovm, start } from "./support.ts"

const parent = mkdtempSync(join(tmpdir(), "cryovm-cli-"))
const warm = join(parent, "warm")

test.after(() => rmSync(parent, { recursive: true, force: true }))

kvmTest("run --exec hands on output and exit code, and saves the guest on the way out", async () => {
  const args = [
    "run",
    "--label",
    "warm",
    "--snapshot-on-exit",
    warm,
    "--exec",
    "touch /seen; echo out; echo err >&2; exit 7",
  ]
  assert.equal(await cryovm(args), { code: 7, signal: null, stdout: "out\n", stderr: "err\n" })
  assert.equal(readdirSync(parent), ["warm"])
})

kvmTest("restore --exec goes on with it", async () => {
  const { code, stdout } = await cryovm(["restore", warm, "--exec", "ls /seen; cat", "--stdin"], { input: "typed" })
  assert.is(code, 0)
  assert.is(stdout, "/seen\ntyped")
})

kvmTest("--json holds output, exit code and times", async () => {
  const { code, stdout, stderr } = await cryovm([
    "restore",
    warm,
    "--json",
    "--exec",
    "echo out; echo err >&2; kill -9 $$",
  ])
  assert.is(code, 137)
  assert.is(stderr, "")
  const result = JSON.parse(stdout)
  assert.is(result.exitCode, 137)
  assert.is(result.signal, 9)
  assert.is(result.stdout, "out\n")
  assert.is(result.stderr, "err\n")
  assert.is(result.snapshot, null)
  assert.type(result.milliseconds.ready, "number")
  assert.type(result.milliseconds.exec, "number")
})

kvmTest("restore --keep-paused says what came back, and ends", async () => {
  const { code, stdout } = await cryovm(["restore", warm, "--keep-paused", "--json"])
  assert.is(code, 0)
  const { state, label, vcpus, memoryMib } = JSON.parse(stdout)
  assert.equal({ state, label, vcpus, memoryMib }, { state: "paused", label: "warm", vcpus: 1, memoryMib: 128 })
})

kvmTest("lines on standard input are a shell that keeps its directory", async () => {
  const input = "pwd\ncd /proc/sys\npwd\ncd nowhere\n:snapshot\nexit 4\necho never\n"
  const { code, stdout, stderr } = await cryovm(["restore", warm], { input, cwd: parent })
  assert.is(stdout, "/\n/proc/sys\n")
  assert.match(stderr, "nowhere")
  assert.match(stderr, /^cryovm: saved to .*\/cryovm-\d{8}-\d{6}: /m)
  assert.is(code, 4)
})

kvmTest("a guest that ends itself ends the session", async () => {
  const { code, stdout, stderr } = await cryovm(["restore", warm], { input: "echo last\nreboot -f\n" })
  assert.is(code, 0, stderr)
  assert.is(stdout, "last\n")
  const target = join(parent, "too-late")
  const late = await cryovm(["restore", warm, "--snapshot-on-exit", target], { input: "reboot -f\n" })
  assert.is(late.code, 1)
  assert.match(late.stderr, "[CRYOVM_GUEST_ENDED]")
  assert.not(existsSync(target))
})

kvmTest("signals end it in order: machine stopped, nothing saved, nothing left", async () => {
  for (const [name, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    const before = readdirSync(parent).sort()
    const { child, ended } = start([
      "restore",
      warm,
      "--snapshot-on-exit",
      join(parent, "cut"),
      "--exec",
      "echo up; sleep 60",
    ])
    // Its output tells that the command runs.
    await new Promise((resolve) => child.stdout?.once("data", resolve))
    child.kill(name)
    const result = await ended
    assert.is(result.code, code, result.stderr)
    assert.match(result.stderr, `interrupted by ${name}`)
    assert.equal(readdirSync(parent).sort(), before)
  }
})

kvmTest("a reader that goes away ends it without a word", async () => {
  const { child, ended } = start(["restore", warm, "--exec", "while true; do echo line; done"])
  child.stdout?.once("data", () => child.stdout?.destroy())
  const { code, stderr } = await ended
  assert.is(stderr, "")
  assert.is(code, 141)
})

kvmTest("a kernel that cannot be booted is told in one line", async () => {
  const { code, stderr } = await cryovm(["run", "--kernel", "/etc/passwd", "--exec", "true"])
  assert.is(code, 1)
  assert.match(stderr, /^cryovm: .+ \[CRYOVM_KERNEL_INVALID\]\n$/)
})

test.run()
