import { spawnSync } from "node:child_process"
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import {
  checkMemoryFile,
  MEMORY_FILE,
  MemoryFileInvalid,
  openMemoryFile,
  publishBundle,
  readManifest,
  readStateFile,
  SnapshotIncomplete,
  SnapshotNotFound,
  SnapshotReadFailed,
  STATE_FILE,
  writeBundleFile,
} from "../../src/snapshot/bundle/bundle.ts"
import { encodeEnvelope } from "../../src/state/envelope.ts"
import { StateCorrupt, StateNotCryovm, StateTooLarge, StateTruncated } from "../../src/state/envelope-errors.ts"
import { sampleEnvelope } from "../state/samples.ts"

interface Context {
  parent: string
  dir: string
}

const test = suite<Context>("bundle reader", { parent: "", dir: "" })

const envelope = sampleEnvelope()
const state = encodeEnvelope(envelope)
const memory = new Uint8Array(envelope.manifest.memory.file.size).fill(7)

test.before.each(async (context) => {
  context.parent = mkdtempSync(join(tmpdir(), "cryovm-reader-"))
  context.dir = join(context.parent, "snapshot")
  await Effect.runPromise(
    publishBundle(context.dir, (path) =>
      Effect.andThen(writeBundleFile(path, MEMORY_FILE, memory), writeBundleFile(path, STATE_FILE, state)),
    ),
  )
})
test.after.each((context) => {
  rmSync(context.parent, { recursive: true, force: true })
})

const failureOf = <A, E>(effect: Effect.Effect<A, E>): Promise<E> => Effect.runPromise(Effect.flip(effect))
const descriptors = () => readdirSync("/proc/self/fd").length

/** What both readers of the state file fail with; it has to be the same. */
const bothFail = async (dir: string) => {
  const whole = await failureOf(readStateFile(dir))
  const manifest = await failureOf(readManifest(dir))
  assert.is(manifest.constructor, whole.constructor)
  return whole
}

test("a published snapshot is read back", async ({ dir }) => {
  const decoded = await Effect.runPromise(readStateFile(dir))
  assert.equal(decoded.manifest, envelope.manifest)
  assert.equal(decoded.sections, envelope.sections)
  assert.equal(await Effect.runPromise(readManifest(dir)), envelope.manifest)
})

test("no directory, a file, a path below a file, a dangling link: not found", async ({ parent }) => {
  writeFileSync(join(parent, "file"), "")
  symlinkSync("/nowhere", join(parent, "link"))
  for (const name of ["absent", "file", "file/below", "link"]) {
    assert.instance(await bothFail(join(parent, name)), SnapshotNotFound, name)
  }
})

test("a directory without the state file is incomplete", async ({ dir }) => {
  rmSync(join(dir, STATE_FILE))
  assert.instance(await bothFail(dir), SnapshotIncomplete)
})

test("a state file that is no regular file is refused at once", async ({ dir }) => {
  const path = join(dir, STATE_FILE)
  const makers: readonly (() => void)[] = [
    () => mkdirSync(path),
    () => assert.is(spawnSync("mkfifo", [path]).status, 0),
    () => symlinkSync("/dev/zero", path),
  ]
  for (const make of makers) {
    rmSync(path, { recursive: true })
    make()
    assert.instance(await bothFail(dir), StateNotCryovm)
  }
})

test("a state file that cannot be opened for another reason", async ({ dir }) => {
  rmSync(join(dir, STATE_FILE))
  symlinkSync(STATE_FILE, join(dir, STATE_FILE))
  const error = (await bothFail(dir)) as SnapshotReadFailed
  assert.instance(error, SnapshotReadFailed)
  assert.is(error.errnoName, "ELOOP")
})

test("an empty, a cut, a longer, a changed and a huge state file", async ({ dir }) => {
  const path = join(dir, STATE_FILE)
  writeFileSync(path, "")
  assert.instance(await bothFail(dir), StateNotCryovm)
  for (const length of [7, 50, 124, state.length - 1]) {
    writeFileSync(path, state.subarray(0, length))
    assert.instance(await bothFail(dir), StateTruncated)
  }
  writeFileSync(path, Buffer.concat([state, Uint8Array.of(0)]))
  assert.instance(await bothFail(dir), StateCorrupt)
  writeFileSync(path, "")
  truncateSync(path, 2 ** 40)
  assert.instance(await failureOf(readStateFile(dir)), StateTooLarge)
  assert.instance(await failureOf(readManifest(dir)), StateNotCryovm)
})

test("the manifest is read without the sections, the whole not without them", async ({ dir }) => {
  const damaged = state.slice()
  damaged[damaged.length - 1]! ^= 1
  writeFileSync(join(dir, STATE_FILE), damaged)
  assert.equal(await Effect.runPromise(readManifest(dir)), envelope.manifest)
  const error = (await failureOf(readStateFile(dir))) as StateCorrupt
  assert.instance(error, StateCorrupt)
  assert.is(error.part, "sections")
})

test("the memory file's descriptor is the caller's", async ({ dir }) => {
  const descriptor = await Effect.runPromise(checkMemoryFile(dir, envelope.manifest))
  assert.is(fstatSync(descriptor).size, memory.length)
  assert.equal(new Uint8Array(readFileSync(descriptor)), memory)
  closeSync(descriptor)
})

test("the memory file's descriptor is closed with its scope", async ({ dir }) => {
  const before = descriptors()
  const inside = await Effect.runPromise(
    Effect.scoped(
      Effect.map(openMemoryFile(dir, envelope.manifest), (descriptor) => {
        assert.is(fstatSync(descriptor).size, memory.length)
        return descriptors()
      }),
    ),
  )
  assert.is(inside, before + 1)
  assert.is(descriptors(), before)
})

test("a memory file that is absent, of another size, or no file", async ({ dir }) => {
  const path = join(dir, MEMORY_FILE)
  const check = async (actualBytes: number | undefined) => {
    const error = (await failureOf(checkMemoryFile(dir, envelope.manifest))) as MemoryFileInvalid
    assert.instance(error, MemoryFileInvalid)
    assert.is(error.expectedBytes, memory.length)
    assert.is(error.actualBytes, actualBytes)
  }
  truncateSync(path, memory.length - 1)
  await check(memory.length - 1)
  truncateSync(path, memory.length + 1)
  await check(memory.length + 1)
  rmSync(path)
  await check(undefined)
  mkdirSync(path)
  await check(undefined)
  rmSync(path, { recursive: true })
  assert.is(spawnSync("mkfifo", [path]).status, 0)
  await check(undefined)
})

test("a thousand failures of each kind leave no descriptor open", async ({ dir }) => {
  const before = descriptors()
  const path = join(dir, STATE_FILE)
  const contents = [new Uint8Array(0), state.subarray(0, 200), state.map((byte, at) => (at === 300 ? byte ^ 1 : byte))]
  for (const content of contents) {
    writeFileSync(path, content)
    for (let round = 0; round < 1000; round++) await bothFail(dir)
  }
  truncateSync(join(dir, MEMORY_FILE), 1)
  for (let round = 0; round < 1000; round++) await failureOf(checkMemoryFile(dir, envelope.manifest))
  assert.is(descriptors(), before)
})

test("a thousand interrupted reads leave no descriptor open", async ({ dir }) => {
  const before = descriptors()
  for (let round = 0; round < 1000; round++) {
    const fiber = Effect.runFork(readStateFile(dir))
    if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
    fiber.interruptUnsafe()
  }
  // What was under way on a thread when its fiber ended closes its file by itself, a little later.
  const until = performance.now() + 5000
  while (descriptors() !== before && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.is(descriptors(), before)
})

test.run()
