// time limit: 240 s
/** `cryovm snapshot create` with a real guest: booted once, brought back for all the rest. */
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { kvmTest } from "../support/kvm.ts"
import { cryovm } from "./support.ts"

const parent = mkdtempSync(join(tmpdir(), "cryovm-cli-"))
const at = (name: string): string => join(parent, name)

test.after(() => rmSync(parent, { recursive: true, force: true }))

kvmTest("boots a guest, runs a command in it, and saves it", async () => {
  const { code, stdout, stderr } = await cryovm([
    "snapshot",
    "create",
    at("warm"),
    "--label",
    "warm",
    "--exec",
    "touch /first; echo out; echo err >&2",
  ])
  assert.is(code, 0, stderr)
  assert.match(stdout, /^out\nsaved to .*warm: .* of 128 MiB memory, /)
  assert.is(stderr, "err\n")
})

kvmTest("from a snapshot, as a difference to it: only what the command changed is written", async () => {
  const args = [
    "snapshot",
    "create",
    at("layer"),
    "--from",
    at("warm"),
    "--diff",
    "--json",
    "--exec",
    "touch /second; pwd",
  ]
  const { code, stdout, stderr } = await cryovm(args)
  assert.is(code, 0, stderr)
  const { snapshot, exec } = JSON.parse(stdout)
  assert.equal(exec, { exitCode: 0, signal: 0, stdout: "/\n", stderr: "" })
  assert.is(snapshot.type, "diff")
  assert.is(snapshot.parent.dir, at("warm"))
  assert.ok(snapshot.writtenBytes < 16 * 2 ** 20, `${snapshot.writtenBytes} bytes`)
  const restored = await cryovm(["restore", at("layer"), "--verify", "--exec", "ls /first /second"])
  assert.equal([restored.code, restored.stdout], [0, "/first\n/second\n"])
})

kvmTest("from a difference, whole: it needs no parent any more", async () => {
  assert.is((await cryovm(["snapshot", "create", at("whole"), "--from", at("layer")])).code, 0)
  assert.is((await cryovm(["snapshot", "verify", at("whole"), "--json"])).code, 0)
  const restored = await cryovm(["restore", at("whole"), "--exec", "ls /first /second"])
  assert.equal([restored.code, restored.stdout], [0, "/first\n/second\n"])
})

kvmTest("a difference to one whose parents are elsewhere", async () => {
  const away = mkdtempSync(join(tmpdir(), "cryovm-cli-"))
  try {
    cpSync(at("layer"), join(away, "layer"), { recursive: true })
    const args = ["snapshot", "create", join(away, "next"), "--from", join(away, "layer"), "--diff"]
    const missing = await cryovm(args)
    assert.match(missing.stderr, "CRYOVM_PARENT_MISSING")
    assert.is((await cryovm([...args, "--parents", parent])).code, 0)
    assert.is((await cryovm(["snapshot", "verify", join(away, "next"), "--parents", parent])).code, 0)
  } finally {
    rmSync(away, { recursive: true, force: true })
  }
})

kvmTest("a command that fails leaves no snapshot, and its exit code is passed on", async () => {
  const { code, stdout, stderr } = await cryovm([
    "snapshot",
    "create",
    at("none"),
    "--from",
    at("warm"),
    "--exec",
    "exit 7",
  ])
  assert.equal([code, stdout], [7, ""])
  assert.match(stderr, "no snapshot was taken: the command exited with 7")
  assert.not.ok(existsSync(at("none")))
  assert.equal(readdirSync(parent).sort(), ["layer", "warm", "whole"])
})

kvmTest("what is there already is seen before a guest is brought back", async () => {
  const { code, stderr } = await cryovm(["snapshot", "create", at("layer"), "--from", at("warm")])
  assert.is(code, 1)
  assert.match(stderr, "CRYOVM_SNAPSHOT_EXISTS")
})

test.run()
