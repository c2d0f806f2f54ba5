/** What the command says of itself, and to those who mistype. None of it needs KVM. */
import { readFileSync, statSync } from "node:fs"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { packageVersion } from "../../src/version.ts"
import { cryovm, main } from "./support.ts"

const commands = [
  ["run"],
  ["restore"],
  ["snapshot", "create"],
  ["snapshot", "info"],
  ["snapshot", "check"],
  ["snapshot", "needs"],
  ["snapshot", "verify"],
  ["snapshot", "tree"],
  ["snapshot", "diff"],
  ["snapshot", "flatten"],
  ["snapshot", "rebase"],
  ["snapshot", "export"],
  ["snapshot", "import"],
  ["demo"],
  ["doctor"],
  ["host-profile"],
]

test("the file can be run as a command", () => {
  assert.ok(readFileSync(main, "utf8").startsWith("#!/usr/bin/env node\n"))
  assert.ok(statSync(main).isFile())
})

test("--version", async () => {
  assert.equal(await cryovm(["--version"]), { code: 0, signal: null, stdout: `${packageVersion}\n`, stderr: "" })
})

test("--help names every command, and hides what is not for people", async () => {
  const { code, stdout, stderr } = await cryovm(["--help"])
  assert.is(code, 0)
  assert.is(stderr, "")
  for (const [name] of commands) assert.match(stdout, new RegExp(`^  ${name}\\b`, "m"))
  assert.not.match(stdout, "demo-life")
})

test("the help of every command has examples, --json, and the exit codes", async () => {
  for (const command of commands) {
    const { code, stdout, stderr } = await cryovm([...command, "--help"])
    assert.is(code, 0, command.join(" "))
    assert.is(stderr, "")
    assert.ok(stdout.startsWith(`Usage: cryovm ${command.join(" ")} `), stdout)
    for (const part of ["Examples:", `cryovm ${command.join(" ")}`, "--json", "--verbose", "Exit codes:"]) {
      assert.ok(stdout.includes(part), `${command.join(" ")}: ${part}`)
    }
  }
})

/** A command line, and what the message has to name. */
const mistakes: readonly (readonly [readonly string[], string])[] = [
  [["fly"], "fly"],
  [["--fly"], "--fly"],
  [["run", "--fly"], "--fly"],
  [["run", "aside"], "run"],
  [["run", "--memory"], "--memory"],
  [["run", "--memory", "lots"], "--memory"],
  [["run", "--memory", "-5"], "--memory"],
  [["run", "--memory", "1.5"], "--memory"],
  [["run", "--memory", "5"], "--memory"],
  [["run", "--vcpus", "0"], "--vcpus"],
  [["run", "--vcpus", "999"], "--vcpus"],
  [["run", "--kernel", ""], "--kernel"],
  [["run", "--exec", ""], "--exec"],
  [["run", "--exec", "true", "--console"], "--console"],
  [["run", "--exec", "true", "--no-agent"], "--no-agent"],
  [["run", "--json"], "--json"],
  [["run", "--stdin"], "--stdin"],
  [["run", "--overwrite"], "--overwrite"],
  [["run", "--snapshot-on-exit"], "--snapshot-on-exit"],
  [["restore"], "dir"],
  [["snapshot", "check"], "snapshot"],
  [["snapshot", "check", "warm", "--host", ""], "--host"],
  [["host-profile", "--output", ""], "--output"],
  [["restore", "x", "--exec", "true", "--keep-paused"], "--keep-paused"],
  [["snapshot", "info"], "dir"],
  [["snapshot", "create"], "dir"],
  [["snapshot", "create", "x", "--diff"], "--diff"],
  [["snapshot", "create", "x", "--force"], "--force"],
  [["snapshot", "create", "x", "--from", "y", "--memory", "64"], "--memory"],
  [["snapshot", "create", "x", "--exec", ""], "--exec"],
  [["snapshot", "verify"], "dir"],
  [["snapshot", "diff", "a"], "b"],
  [["snapshot", "flatten", "a"], "out"],
  [["snapshot", "rebase", "a", "b"], "--onto"],
  [["snapshot", "export", "a"], "file"],
  [["snapshot", "import", "a", "b"], "out"],
  [["snapshot", "tree", "a", "b"], "tree"],
  [["demo", "--keep", ""], "--keep"],
  [["doctor", "--fix"], "--fix"],
]

test("mistakes in the command line: exit code 2, one line that names what is wrong, no stack trace", async () => {
  for (const [args, named] of mistakes) {
    const { code, stdout, stderr } = await cryovm(args)
    const what = `cryovm ${args.join(" ")}: ${stderr}`
    assert.is(code, 2, what)
    // An object was asked for, so one tells of the mistake, too.
    if (args.includes("--json")) assert.is(JSON.parse(stdout).error.code, "CRYOVM_USAGE", what)
    else assert.is(stdout, "", what)
    const [first = ""] = stderr.split("\n")
    assert.match(first, /^cryovm: .* \[CRYOVM_(USAGE|CONFIG_INVALID)\]$/, what)
    assert.ok(first.includes(named), what)
    assert.not.match(stderr, /^ {4}at /m, what)
  }
})

test("without a command: the help, on stderr, and exit code 2", async () => {
  for (const args of [[], ["snapshot"]]) {
    const { code, stdout, stderr } = await cryovm(args)
    assert.is(code, 2)
    assert.is(stdout, "")
    assert.match(stderr, /^Usage: cryovm/)
  }
})

test("the hidden command of the demo cannot be called by hand", async () => {
  const { code, stderr } = await cryovm(["demo-life"])
  assert.is(code, 2)
  assert.match(stderr, "demo")
})

test("no colours where there is no terminal", async () => {
  const { stderr } = await cryovm(["restore", "/nowhere"], { env: { FORCE_COLOR: undefined, NO_COLOR: undefined } })
  assert.not.match(stderr, "\u001b")
})

test.run()
