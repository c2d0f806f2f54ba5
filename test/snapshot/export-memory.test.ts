/** The memory of chains made by hand, exported and imported. None of it needs KVM. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import { exportMemory, importMemory, verifySnapshot } from "../../src/index.ts"
import { readStateFile } from "../../src/snapshot/bundle/bundle.ts"
import { regionsOf, writeDiff, writeFull } from "../support/diff-chain.ts"
import { failureOf } from "../support/failure.ts"
import { mergeDiff } from "../support/merge-diff.ts"
import { holdings } from "../support/process.ts"
import { flipBit } from "../support/sealed-chain.ts"
import { type ChainOfThree, chainOfThree } from "../support/sealed-chain-of-three.ts"
import { temporaryDirectory } from "../support/temporary.ts"

interface Context extends ChainOfThree {
  path: string
  scratch: ReturnType<typeof temporaryDirectory>
}

const test = suite<Context>("export and import")

test.before.each(async (context) => {
  const scratch = temporaryDirectory()
  Object.assign(context, { scratch, path: scratch.path }, await chainOfThree(scratch.path))
})
test.after.each(({ scratch }) => scratch[Symbol.dispose]())

const same = (file: string, memory: Uint8Array) => assert.is(Buffer.compare(readFileSync(file), memory), 0)

test("the whole memory of any snapshot of a chain, sparse", async ({ path, base, middle, newest, memoryOf }) => {
  for (const [snapshot, memory] of [
    [base, memoryOf.base],
    [middle, memoryOf.middle],
    [newest, memoryOf.newest],
  ] as const) {
    const file = join(path, "memory.bin")
    const exported = await exportMemory(snapshot.dir, file, { overwrite: true })
    same(file, memory)
    assert.equal([exported.file, exported.memoryBytes], [file, memory.length])
    assert.ok(statSync(file).blocks * 512 < 2 ** 20)
    assert.is(statSync(file).mode & 0o777, 0o600)
  }
})

test("changes merged by hand into the parent's memory are the snapshot's own", async (context) => {
  const { path, base, middle, newest, memoryOf } = context
  const memory = join(path, "memory.bin")
  const changes = join(path, "changes.bin")
  await exportMemory(base.dir, memory)
  const exported = await exportMemory(middle.dir, changes, { changesOnly: true })
  assert.is(exported.writtenBytes, 5 * 4096)
  assert.is(statSync(changes).size, memoryOf.base.length)
  // Pages 1, 2 (which became zero), 7, 301 and 302, and nothing else.
  assert.equal(mergeDiff(path, changes, memory), [
    [4096, 2 * 4096],
    [7 * 4096, 4096],
    [301 * 4096, 2 * 4096],
  ])
  same(memory, memoryOf.middle)
  await exportMemory(newest.dir, changes, { changesOnly: true, overwrite: true })
  mergeDiff(path, changes, memory)
  same(memory, memoryOf.newest)
  const whole = join(path, "whole.bin")
  await exportMemory(newest.dir, whole)
  same(whole, readFileSync(memory))
})

test("regions lie behind each other, without the gap below 4 GiB", async ({ path }) => {
  const regions = regionsOf(256, 3)
  const base = writeFull(join(path, "gap"), regions, new Map([[257, 5]]))
  const child = writeDiff(join(path, "child"), base, new Map([[258, 6]]))
  const file = join(path, "memory.bin")
  // The machine that these snapshots tell of has other memory.
  await exportMemory(child.dir, file, { verify: false })
  const memory = readFileSync(file)
  assert.is(memory.length, 259 * 4096)
  assert.equal(
    [257, 258].map((page) => memory.readUInt32LE(page * 4096)),
    [5, 6],
  )
})

test("the changes of a full snapshot are none", async ({ path, base }) => {
  const error = await failureOf(exportMemory(base.dir, join(path, "x"), { changesOnly: true }))
  assert.is(error.code, "CRYOVM_SNAPSHOT_NOT_DIFF")
})

test("what is there is not replaced unless asked, and files of snapshots never are", async ({ path, base, newest }) => {
  const file = join(path, "memory.bin")
  writeFileSync(file, "precious")
  assert.is((await failureOf(exportMemory(newest.dir, file))).code, "CRYOVM_SNAPSHOT_EXISTS")
  for (const snapshot of [base, newest]) {
    for (const name of ["memory.img", "state.cryo", "new"]) {
      const error = await failureOf(exportMemory(newest.dir, join(snapshot.dir, name), { overwrite: true }))
      assert.is(error.code, "CRYOVM_SNAPSHOT_OPTIONS_INVALID")
    }
  }
  mkdirSync(join(path, "folder"))
  const inTheWay = await failureOf(exportMemory(newest.dir, join(path, "folder"), { overwrite: true }))
  assert.is(inTheWay.code, "CRYOVM_SNAPSHOT_EXISTS")
  assert.is(readFileSync(file, "utf8"), "precious")
  assert.ok((await verifySnapshot(newest.dir)).ok)
})

test("damage is not handed on; parents are checked", async ({ path, base, middle, newest }) => {
  const file = join(path, "memory.bin")
  flipBit(join(base.dir, "memory.img"), 77, 0)
  assert.is((await failureOf(exportMemory(newest.dir, file))).code, "CRYOVM_SNAPSHOT_DAMAGED")
  assert.not.ok(existsSync(file))
  await exportMemory(newest.dir, file, { verify: false })
  copyFileSync(join(base.dir, "state.cryo"), join(middle.dir, "state.cryo"))
  assert.is((await failureOf(exportMemory(newest.dir, join(path, "x")))).code, "CRYOVM_PARENT_MISSING")
})

test("imported again: the same state and memory, with holes and digests", async ({ path, newest, memoryOf }) => {
  const file = join(path, "memory.bin")
  const out = join(path, "out")
  await exportMemory(newest.dir, file)
  const seen: number[] = []
  const info = await importMemory(newest.dir, file, out, {
    onProgress: ({ doneBytes, totalBytes }) => {
      assert.is(totalBytes, memoryOf.newest.length)
      seen.push(doneBytes)
    },
  })
  assert.is(seen.at(-1), memoryOf.newest.length)
  assert.is(info.type, "full")
  same(join(out, "memory.img"), memoryOf.newest)
  assert.ok(statSync(join(out, "memory.img")).blocks * 512 < 2 ** 20)
  const [before, after] = await Promise.all([newest.dir, out].map((dir) => Effect.runPromise(readStateFile(dir))))
  assert.equal(after?.sections, before?.sections)
  const { ok, links } = await verifySnapshot(out)
  assert.ok(ok && links[0]?.hasDigests)
})

test("a file of another size is refused, and so is one that is none", async ({ path, base, memoryOf }) => {
  const file = join(path, "memory.bin")
  const out = join(path, "out")
  writeFileSync(file, "")
  for (const size of [0, 4096, memoryOf.base.length - 1, memoryOf.base.length + 4096]) {
    truncateSync(file, size)
    const error = await failureOf(importMemory(base.dir, file, out))
    assert.is(error.code, "CRYOVM_MEMORY_FILE_INVALID")
    assert.match(error.message, `it has ${size} bytes; guest memory has ${memoryOf.base.length}`)
  }
  for (const path of ["/dev/zero", "/nowhere", base.dir]) {
    assert.is((await failureOf(importMemory(base.dir, path, out))).code, "CRYOVM_MEMORY_FILE_INVALID")
  }
  const own = await failureOf(importMemory(base.dir, join(base.dir, "memory.img"), base.dir, { overwrite: true }))
  assert.is(own.code, "CRYOVM_SNAPSHOT_OPTIONS_INVALID")
  assert.not.ok(existsSync(out))
})

test("an abort leaves nothing, and nothing open", async ({ path, newest }) => {
  const file = join(path, "memory.bin")
  await exportMemory(newest.dir, join(path, "first.bin"))
  const names = readdirSync(path).sort()
  const before = await holdings()
  for (const changesOnly of [false, true]) {
    for (const abortAt of [1, 3, 5]) {
      const controller = new AbortController()
      const reason = new Error("changed my mind")
      let calls = 0
      const promise = exportMemory(newest.dir, file, {
        changesOnly,
        signal: controller.signal,
        onProgress: () => {
          calls += 1
          if (calls === abortAt) controller.abort(reason)
        },
      })
      assert.is(await failureOf(promise), reason)
      assert.equal(readdirSync(path).sort(), names)
    }
  }
  assert.equal(await holdings(), before)
})

test.run()
