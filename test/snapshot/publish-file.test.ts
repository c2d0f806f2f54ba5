import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { SnapshotExists, SnapshotWriteFailed } from "../../src/snapshot/bundle/bundle.ts"
import { publishFile } from "../../src/snapshot/bundle/publish-file.ts"
import { temporaryPath } from "../../src/snapshot/bundle/temporary.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const publishText = (path: string, text: string, options?: { readonly overwrite?: boolean }) =>
  publishFile(path, (file) => Effect.promise(() => file.writeFile(text)), options)

test("a file appears whole, readable by its owner only, with nothing beside it", async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, "memory.bin")
  await Effect.runPromise(
    publishFile(path, (file, temporary) =>
      Effect.promise(async () => {
        await file.writeFile("content")
        assert.not.ok(existsSync(path), "not there before it is whole")
        assert.is(readFileSync(temporary, "utf8"), "content")
      }),
    ),
  )
  assert.is(readFileSync(path, "utf8"), "content")
  assert.is(statSync(path).mode & 0o777, 0o600)
  assert.equal(readdirSync(scratch.path), ["memory.bin"])
})

test("what is there is refused before anything is written, and replaced when asked", async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, "memory.bin")
  writeFileSync(path, "old")
  const calls: string[] = []
  const refused = await Effect.runPromise(
    Effect.flip(publishFile(path, (_, temporary) => Effect.sync(() => calls.push(temporary)))),
  )
  assert.instance(refused, SnapshotExists)
  assert.equal(calls, [])
  assert.is(readFileSync(path, "utf8"), "old")
  await Effect.runPromise(publishText(path, "new", { overwrite: true }))
  assert.is(readFileSync(path, "utf8"), "new")
  assert.equal(readdirSync(scratch.path), ["memory.bin"])
})

test("a file that appears meanwhile is not replaced", async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, "memory.bin")
  const error = await Effect.runPromise(
    Effect.flip(publishFile(path, () => Effect.sync(() => writeFileSync(path, "another")))),
  )
  assert.instance(error, SnapshotExists)
  assert.is(readFileSync(path, "utf8"), "another")
  assert.equal(readdirSync(scratch.path), ["memory.bin"])
})

test("a directory, or a link to a file, is not replaced even when asked", async () => {
  using scratch = temporaryDirectory()
  const directory = join(scratch.path, "directory")
  const precious = join(scratch.path, "precious")
  const alias = join(scratch.path, "alias")
  mkdirSync(directory)
  writeFileSync(precious, "precious")
  symlinkSync(precious, alias)
  for (const path of [directory, alias]) {
    assert.instance(await Effect.runPromise(Effect.flip(publishText(path, "x", { overwrite: true }))), SnapshotExists)
  }
  assert.is(readFileSync(precious, "utf8"), "precious")
  assert.equal(readdirSync(scratch.path).sort(), ["alias", "directory", "precious"])
})

test("a failure and an interruption leave nothing", async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, "memory.bin")
  const failure = new SnapshotWriteFailed({ message: "no", path, errnoName: "" })
  assert.is(await Effect.runPromise(Effect.flip(publishFile(path, () => failure))), failure)
  const fiber = Effect.runFork(publishFile(path, () => Effect.never))
  while (readdirSync(scratch.path).length === 0) await new Promise((resolve) => setImmediate(resolve))
  await Effect.runPromise(Fiber.interrupt(fiber))
  assert.equal(readdirSync(scratch.path), [])
})

test("a directory that is not there is a typed error with a remedy", async () => {
  using scratch = temporaryDirectory()
  const error = await Effect.runPromise(Effect.flip(publishText(join(scratch.path, "none", "memory.bin"), "x")))
  assert.instance(error, SnapshotWriteFailed)
  assert.match(error.message, "create it first")
})

test("what a killed writer left is removed by the next one", async () => {
  using scratch = temporaryDirectory()
  const path = join(scratch.path, "memory.bin")
  const { pid } = spawnSync("true")
  const left = join(scratch.path, basename(temporaryPath(path)).replace(`-${process.pid}-`, `-${pid}-`))
  mkdirSync(left)
  writeFileSync(join(left, "unfinished"), "half")
  await Effect.runPromise(publishText(path, "whole"))
  assert.equal(readdirSync(scratch.path), ["memory.bin"])
})

test.run()
