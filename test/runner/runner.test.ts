// time limit: 60 s
/**
 * The runner against files that each hide a failure in their own way. They are named *.fixture.ts, so that the main
 * run does not take them for tests.
 */
import { spawnSync } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { test } from "uvu"
import * as assert from "uvu/assert"

interface TestResult {
  readonly name: string
  readonly status: "passed" | "failed" | "skipped"
  readonly error?: string
}

interface FileResult {
  readonly path: string
  readonly tests: readonly TestResult[]
  readonly problems: readonly string[]
  readonly notes: readonly string[]
  readonly output: string
}

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** Runs the runner on the fixtures. */
const run = (args: readonly string[], environment: NodeJS.ProcessEnv = {}) => {
  const { CI: _, ...inherited } = process.env
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["scripts/test.mjs", "--suffix", ".fixture.ts", ...args],
    { cwd: root, encoding: "utf8", env: { ...inherited, ...environment } },
  )
  return { status, stdout, stderr, lastLine: stdout.trimEnd().split("\n").at(-1) }
}

const all = run(["--json", "--jobs", "4"])
const document = JSON.parse(all.stdout) as { passed: number; failed: number; skipped: number; files: FileResult[] }

const resultOf = (name: string) => {
  const result = document.files.find(({ path }) => path === `test/runner/fixtures/${name}.fixture.ts`)
  assert.ok(result, `no result for ${name}`)
  return result
}

/** "passed failed skipped problems" of a fixture, for short. */
const counts = (name: string) => {
  const { tests, problems } = resultOf(name)
  const count = (status: string) => tests.filter((each) => each.status === status).length
  return [count("passed"), count("failed"), count("skipped"), problems.length].join(" ")
}

const errors = (name: string) =>
  [...resultOf(name).tests.map(({ error }) => error ?? ""), ...resultOf(name).problems].join("\n")

test("every fixture has a result", () => {
  const names = readdirSync(`${root}/test/runner/fixtures`)
  assert.is(document.files.length, names.length)
})

test("passing tests pass, with their hooks and their suite's name", () => {
  assert.is(counts("passes"), "3 0 0 0")
  assert.is(resultOf("passes").tests[0]?.name, "named: calls its hooks first")
})

test("skipped tests are counted as skipped", () => {
  assert.is(counts("skips"), "1 0 1 0")
  assert.is(counts("only"), "1 0 1 0")
})

test("a failing test shows the difference and does not keep others from running", () => {
  assert.is(counts("fails"), "1 1 0 0")
  assert.match(errors("fails"), /--··"one":·1/)
  assert.match(resultOf("fails").output, "printed by the test")
})

test("what is thrown and is no Error is a failure", () => {
  assert.is(counts("throws-text"), "1 2 0 0")
  assert.match(errors("throws-text"), "just a text")
})

test("a throwing hook is a failure", () => {
  assert.is(counts("before-throws"), "0 2 0 0")
  assert.match(errors("before-throws"), "from before")
  assert.is(counts("after-throws"), "1 0 0 1")
  assert.match(errors("after-throws"), "from after")
  assert.is(counts("each-hooks-throw"), "0 2 0 0")
})

test("a forgotten run() is a failure", () => {
  assert.is(counts("forgot-run"), "1 0 0 1")
  assert.match(errors("forgot-run"), "forgotten")
})

test("a file without tests is a failure", () => assert.is(counts("no-tests"), "0 0 0 1"))

test("a file that does not load is a failure", () => {
  assert.match(errors("does-not-load"), "while loading")
  assert.is(resultOf("does-not-load").tests.length, 0)
})

test("a process that ends early is a failure that names the test", () => {
  assert.is(counts("exits-early"), "0 0 0 1")
  assert.match(errors("exits-early"), 'ended early (exit code 0) in the test "leaves"')
  assert.is(counts("never-settles"), "0 0 0 1")
  assert.match(errors("never-settles"), "waits for nothing")
  assert.match(errors("dies-of-a-signal"), "SIGSEGV")
})

test("what goes wrong after the last test is a failure", () => {
  assert.is(counts("unhandled-rejection"), "1 0 0 1")
  assert.match(resultOf("unhandled-rejection").output, "nobody handles this")
  assert.is(counts("bad-exit-code"), "1 0 0 1")
  assert.match(errors("bad-exit-code"), "exit code 3")
})

test("a file that takes too long is a failure that names the test", () => {
  assert.is(counts("hangs"), "0 0 0 1")
  assert.match(errors("hangs"), 'took longer than its 1 s in the test "loops"')
})

test("a file that does not end by itself is a failure that names what holds it", () => {
  assert.is(counts("lingers"), "1 0 0 1")
  assert.match(errors("lingers"), "Timeout")
})

test("processes that a file leaves behind are killed and named", () => {
  const { notes, output } = resultOf("leaves-processes")
  assert.is(counts("leaves-processes"), "1 0 0 0")
  assert.match(notes.join("\n"), "sleep, sleep")
  const pids = [...output.matchAll(/pid (\d+)/g)].map(([, pid]) => pid)
  assert.is(pids.length, 2)
  for (const pid of pids) assert.not(existsSync(`/proc/${pid}`), `${pid} is still there`)
})

test("the totals are the sums, and decide over the exit code", () => {
  const { passed, failed, skipped } = document
  assert.is(all.status, 1)
  assert.is(all.stderr.trimEnd().split("\n").at(-1), `${passed} passed, ${failed} failed, ${skipped} skipped`)
})

test("the last line tells the totals; exit code 0 when all is well", () => {
  const passing = run(["passes"])
  assert.is(passing.lastLine, "3 passed, 0 failed")
  assert.is(passing.status, 0)
  assert.is(run(["passes", "skips"]).lastLine, "4 passed, 0 failed, 1 skipped")
})

test("--name chooses tests by name", () => {
  const named = run(["--name", "^named: calls its", "passes", "fails"])
  assert.is(named.lastLine, "1 passed, 0 failed")
  assert.is(named.status, 0)
})

test("a run of nothing is a failure", () => {
  const nothing = run(["--name", "no test has this name", "passes"])
  assert.is(nothing.lastLine, "0 passed, 0 failed")
  assert.is(nothing.status, 1)
  const unmatched = run(["no-file-has-this-name"])
  assert.is(unmatched.status, 1)
  assert.match(unmatched.stderr, "no test file matches")
})

test("test.only is a failure under CI", () => {
  const only = run(["only"], { CI: "true" })
  assert.is(only.lastLine, "1 passed, 1 failed, 1 skipped")
  assert.is(only.status, 1)
})

test("--list tells what files declare", () => {
  const { stdout } = run(["--list"])
  assert.match(stdout, "hangs.fixture.ts  (1 s)")
  assert.match(stdout, "lingers.fixture.ts  (120 s, runs alone)")
})

test.run()
