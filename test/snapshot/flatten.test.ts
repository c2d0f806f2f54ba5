/** Chains made by hand, flattened. None of it needs KVM. */
import { cpSync, existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import { flatten, verifySnapshot } from "../../src/index.ts"
import { readStateFile, STATE_FILE } from "../../src/snapshot/bundle/bundle.ts"
import { failureOf } from "../support/failure.ts"
import { holdings } from "../support/process.ts"
import { flipBit, sealedDiff } from "../support/sealed-chain.ts"
import { type ChainOfThree, chainOfThree } from "../support/sealed-chain-of-three.ts"
import { temporaryDirectory } from "../support/temporary.ts"

interface Context extends ChainOfThree {
  path: string
  scratch: ReturnType<typeof temporaryDirectory>
}

const test = suite<Context>("flatten")

test.before.each(async (context) => {
  const scratch = temporaryDirectory()
  Object.assign(context, { scratch, path: scratch.path }, await chainOfThree(scratch.path))
})
test.after.each(({ scratch }) => scratch[Symbol.dispose]())

const stateOf = (dir: string) => Effect.runPromise(readStateFile(dir))

test("a full snapshot with the same state, the memory of the whole chain, and digests", async (context) => {
  const { path, newest, memoryOf } = context
  const out = join(path, "out")
  const info = await flatten(newest.dir, out)
  const before = await stateOf(newest.dir)
  const after = await stateOf(out)
  assert.equal(after.sections, before.sections)
  const { id, createdAt, producer, type, memory, parent, ...kept } = after.manifest
  const {
    id: oldId,
    createdAt: _,
    producer: __,
    type: ___,
    memory: oldMemory,
    parent: ____,
    ...expected
  } = before.manifest
  assert.equal(kept, expected)
  assert.is.not(id, oldId)
  assert.equal([type, parent, memory.diff], ["full", null, null])
  assert.equal(memory.regions, oldMemory.regions)
  assert.is(producer.name, "cryovm")
  assert.is(info.id, id)
  assert.is(info.createdAt, createdAt)
  assert.equal([info.dir, info.type, info.memoryBytes], [out, "full", memoryOf.newest.length])
  assert.is(info.stateBytes, statSync(join(out, STATE_FILE)).size)

  const image = readFileSync(join(out, "memory.img"))
  assert.is(Buffer.compare(image, memoryOf.newest), 0)
  const pages = memoryOf.newest.length / 4096
  const zero = new Uint8Array(4096)
  const held = Array.from({ length: pages }, (_, page) => page).filter(
    (page) => Buffer.compare(image.subarray(page * 4096, page * 4096 + 4096), zero) !== 0,
  ).length
  assert.equal([info.pages, info.writtenBytes], [held, held * 4096])
  assert.ok(statSync(join(out, "memory.img")).blocks * 512 < 2 ** 20, "what is zero is a hole")
  const { ok, links } = await verifySnapshot(out)
  assert.ok(ok)
  assert.ok(links[0]?.hasDigests)
  assert.equal(readdirSync(path).sort(), ["base", "middle", "newest", "out"])
})

test("a full one is copied, with an id of its own", async ({ path, base, memoryOf }) => {
  const out = join(path, "out")
  const { id } = await flatten(base.dir, out)
  assert.is.not(id, base.manifest.id)
  assert.is(Buffer.compare(readFileSync(join(out, "memory.img")), memoryOf.base), 0)
})

test("progress counts up to what is verified and what is written", async ({ path, newest, middle, base, memoryOf }) => {
  const files = [newest, middle, base].reduce((sum, { manifest }) => sum + manifest.memory.file.size, 0)
  for (const verify of [true, false]) {
    const total = memoryOf.newest.length + (verify ? files : 0)
    const seen: number[] = []
    await flatten(newest.dir, join(path, "out"), {
      verify,
      overwrite: true,
      onProgress: ({ doneBytes, totalBytes }) => {
        assert.is(totalBytes, total)
        seen.push(doneBytes)
      },
    })
    assert.equal(
      [...seen].sort((a, b) => a - b),
      seen,
    )
    assert.is(seen.at(-1), total)
  }
})

test("parents are looked for where it is said, and another one is never taken", async ({
  path,
  base,
  middle,
  newest,
}) => {
  const away = join(path, "away")
  cpSync(newest.dir, join(away, "newest"), { recursive: true })
  const error = await failureOf(flatten(join(away, "newest"), join(path, "out")))
  assert.is(error.code, "CRYOVM_PARENT_MISSING")
  assert.match(error.message, "put it beside")
  await flatten(join(away, "newest"), join(path, "out"), { parents: [path] })

  // A child of the base that has the id of the parent that is wanted, and other content.
  const { manifest, sections } = middle
  const impostor = await sealedDiff(join(away, "impostor"), base, new Map([[1, 99]]), { manifest, sections })
  const { header, ...envelope } = await stateOf(impostor.dir)
  assert.is.not(header.digest, middle.digest)
  const { encodeEnvelope } = await import("../../src/state/envelope.ts")
  writeFileSync(
    join(impostor.dir, STATE_FILE),
    encodeEnvelope({ ...envelope, manifest: { ...envelope.manifest, id: manifest.id } }),
  )
  const wrong = await failureOf(flatten(join(away, "newest"), join(path, "other")))
  assert.is(wrong.code, "CRYOVM_PARENT_MISMATCH")
  assert.match(wrong.message, "put the original back")
  assert.not.ok(existsSync(join(path, "other")))
})

test("damage anywhere in the chain is not taken over, unless it is asked for", async ({ path, base, newest }) => {
  flipBit(join(base.dir, "memory.img"), 1000 * 4096 + 5, 3)
  const out = join(path, "out")
  const error = await failureOf(flatten(newest.dir, out))
  assert.is(error.code, "CRYOVM_SNAPSHOT_DAMAGED")
  assert.match(error.message, /base: memory\.img: the 1048576 bytes at 3145728/)
  assert.not.ok(existsSync(out))
  await flatten(newest.dir, out, { verify: false })
})

test("it is written over nothing that it is made from, and over others only when asked", async (context) => {
  const { path, base, middle, newest } = context
  symlinkSync(middle.dir, join(path, "alias"))
  for (const out of [newest.dir, middle.dir, base.dir, join(path, "alias"), join(newest.dir, "..", "base")]) {
    assert.is(
      (await failureOf(flatten(newest.dir, out, { overwrite: true }))).code,
      "CRYOVM_SNAPSHOT_OPTIONS_INVALID",
      out,
    )
  }
  assert.ok((await verifySnapshot(newest.dir)).ok)
  const out = join(path, "out")
  const first = await flatten(newest.dir, out)
  assert.is((await failureOf(flatten(newest.dir, out))).code, "CRYOVM_SNAPSHOT_EXISTS")
  const second = await flatten(newest.dir, out, { overwrite: true })
  assert.is.not(second.id, first.id)
  assert.ok((await verifySnapshot(out)).ok)
})

test("an abort leaves nothing, and nothing open", async ({ path, newest }) => {
  await flatten(newest.dir, join(path, "first"))
  const before = await holdings()
  for (const abortAt of [1, 3, 5]) {
    const controller = new AbortController()
    const reason = new Error("changed my mind")
    let calls = 0
    const promise = flatten(newest.dir, join(path, "out"), {
      signal: controller.signal,
      onProgress: () => {
        calls += 1
        if (calls === abortAt) controller.abort(reason)
      },
    })
    assert.is(await failureOf(promise), reason)
    assert.equal(readdirSync(path).sort(), ["base", "first", "middle", "newest"])
  }
  assert.equal(await holdings(), before)
})

test.run()
