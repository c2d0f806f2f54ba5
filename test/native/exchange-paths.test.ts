import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative, toKvmError } from "../../src/native.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const { exchangePaths } = loadNative()

const refused = (a: unknown, b: unknown) => {
  try {
    exchangePaths(a as string, b as string)
  } catch (cause) {
    return toKvmError(cause)
  }
  return assert.unreachable("it was refused")
}

test("what lies under two names changes places, also where one is a directory and the other a file", () => {
  using scratch = temporaryDirectory()
  const [a, b] = [join(scratch.path, "a"), join(scratch.path, "b")]
  mkdirSync(a)
  writeFileSync(join(a, "inside"), "of a")
  writeFileSync(b, "b")
  exchangePaths(a, b)
  assert.is(readFileSync(a, "utf8"), "b")
  assert.is(readFileSync(join(b, "inside"), "utf8"), "of a")
  exchangePaths(a, b)
  assert.is(readFileSync(b, "utf8"), "b")
})

test("a failure names the call, the errno and both paths, and changes nothing", () => {
  using scratch = temporaryDirectory()
  const [a, absent] = [join(scratch.path, "a"), join(scratch.path, "absent")]
  mkdirSync(join(a, "below"), { recursive: true })
  for (const [from, to, errnoName] of [
    [a, absent, "ENOENT"],
    [absent, a, "ENOENT"],
    [a, join(a, "below"), "EINVAL"],
    [a, "/proc/self/status", "EXDEV"],
    [a, join(scratch.path, "n".repeat(300)), "ENAMETOOLONG"],
  ] as const) {
    const error = refused(from, to)
    assert.is(error?.operation, "renameat2")
    assert.is(error?.errnoName, errnoName)
    assert.ok(error?.message.includes(from) && error.message.includes(to))
  }
  assert.ok(existsSync(join(a, "below")))
  assert.not(existsSync(absent))
})

test("what is no path is refused", () => {
  for (const [a, b, message] of [
    [undefined, "/tmp", /a must be a string/],
    ["/tmp", 5, /b must be a string/],
    ["/tmp\0/a", "/tmp", /a must not contain a NUL/],
    ["/tmp", "/tmp\0", /b must not contain a NUL/],
  ] as const) {
    const error = refused(a, b)
    assert.match(error?.message ?? "", message)
    assert.is(error?.errno, 0)
  }
})

test.run()
