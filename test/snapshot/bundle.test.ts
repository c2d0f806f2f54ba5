import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import promises from "node:fs/promises"
import { syncBuiltinESMExports } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import { loadNative } from "../../src/native.ts"
import {
  MEMORY_FILE,
  publishBundle,
  SnapshotExists,
  SnapshotWriteFailed,
  STATE_FILE,
  writeBundleFile,
} from "../../src/snapshot/bundle/bundle.ts"
import { STALE_AFTER_MILLISECONDS, sweepTemporaries, temporaryPath } from "../../src/snapshot/bundle/temporary.ts"
import { encodeEnvelope } from "../../src/state/envelope.ts"
import { sampleEnvelope } from "../state/samples.ts"

interface Context {
  parent: string
  dir: string
}

const test = suite<Context>("bundle", { parent: "", dir: "" })

test.before.each((context) => {
  context.parent = mkdtempSync(join(tmpdir(), "cryovm-bundle-"))
  context.dir = join(context.parent, "snapshot")
})
test.after.each((context) => {
  rmSync(context.parent, { recursive: true, force: true })
})

const state = encodeEnvelope(sampleEnvelope())

const writeSample =
  (content = "memory") =>
  (temporary: string) =>
    Effect.gen(function* () {
      yield* writeBundleFile(temporary, MEMORY_FILE, Buffer.from(content))
      yield* writeBundleFile(temporary, STATE_FILE, state)
      return temporary
    })

const memoryOf = (dir: string) => readFileSync(join(dir, MEMORY_FILE), "utf8")
const failureOf = <A, E>(effect: Effect.Effect<A, E>): Promise<E> => Effect.runPromise(Effect.flip(effect))

class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

test("a snapshot appears whole, private, and with nothing beside it", async ({ parent, dir }) => {
  const temporary = await Effect.runPromise(
    publishBundle(dir, (path) =>
      Effect.tap(writeSample()(path), () =>
        Effect.sync(() => {
          assert.is(dirname(path), parent)
          assert.match(path, /\/\.snapshot\.cryovm-[0-9]+-[0-9a-f]{16}$/)
          assert.is(statSync(path).mode & 0o777, 0o700)
          assert.not(existsSync(dir))
        }),
      ),
    ),
  )
  assert.not(existsSync(temporary))
  assert.equal(readdirSync(parent), ["snapshot"])
  assert.equal(readdirSync(dir).sort(), [MEMORY_FILE, STATE_FILE])
  assert.is(statSync(dir).mode & 0o777, 0o700)
  assert.is(statSync(join(dir, STATE_FILE)).mode & 0o777, 0o600)
})

test("directories inside are published too", async ({ dir }) => {
  await Effect.runPromise(
    publishBundle(dir, (path) =>
      Effect.sync(() => {
        mkdirSync(join(path, "a/b"), { recursive: true })
        writeFileSync(join(path, "a/b/c"), "c")
        symlinkSync("/nowhere", join(path, "link"))
      }),
    ),
  )
  assert.is(readFileSync(join(dir, "a/b/c"), "utf8"), "c")
})

test("an empty directory counts as none", async ({ dir }) => {
  mkdirSync(dir)
  await Effect.runPromise(publishBundle(dir, writeSample()))
  assert.is(memoryOf(dir), "memory")
})

test("whatever is there already is left alone, and nothing is written", async ({ parent, dir }) => {
  const occupy: readonly (() => void)[] = [
    () => writeFileSync(dir, "a file"),
    () => symlinkSync(parent, dir),
    () => symlinkSync("/nowhere", dir),
    () => {
      mkdirSync(dir)
      writeFileSync(join(dir, "precious"), "")
    },
  ]
  for (const place of occupy) {
    place()
    for (const overwrite of [false, true]) {
      const write = () => Effect.die("write was run")
      assert.instance(await failureOf(publishBundle(dir, write, { overwrite })), SnapshotExists)
      assert.equal(readdirSync(parent), ["snapshot"])
    }
    rmSync(dir, { recursive: true })
  }
})

test("a snapshot is replaced only when asked", async ({ parent, dir }) => {
  await Effect.runPromise(publishBundle(dir, writeSample("old")))
  assert.instance(await failureOf(publishBundle(dir, writeSample("new"))), SnapshotExists)
  assert.is(memoryOf(dir), "old")
  await Effect.runPromise(
    publishBundle(
      dir,
      (path) => Effect.tap(writeSample("new")(path), () => Effect.sync(() => assert.is(memoryOf(dir), "old"))),
      { overwrite: true },
    ),
  )
  assert.is(memoryOf(dir), "new")
  assert.equal(readdirSync(parent), ["snapshot"])
})

test("a failed overwrite leaves the old snapshot", async ({ parent, dir }) => {
  await Effect.runPromise(publishBundle(dir, writeSample("old")))
  const write = (path: string) => Effect.andThen(writeSample("new")(path), new Refused({ message: "no" }))
  assert.instance(await failureOf(publishBundle(dir, write, { overwrite: true })), Refused)
  assert.is(memoryOf(dir), "old")
  assert.equal(readdirSync(parent), ["snapshot"])
})

test("two that publish to one name: one wins, the other is told", async ({ parent, dir }) => {
  const publish = (content: string) =>
    Effect.result(publishBundle(dir, (path) => Effect.andThen(writeSample(content)(path), Effect.sleep("50 millis"))))
  const results = await Effect.runPromise(Effect.all([publish("a"), publish("b")], { concurrency: 2 }))
  assert.equal(results.map(({ _tag }) => _tag).sort(), ["Failure", "Success"])
  for (const result of results) if (result._tag === "Failure") assert.instance(result.failure, SnapshotExists)
  assert.equal(readdirSync(parent), ["snapshot"])
})

test("a failure of the writer is passed on, and nothing stays", async ({ parent, dir }) => {
  const write = (path: string) => Effect.andThen(writeSample()(path), new Refused({ message: "no" }))
  assert.instance(await failureOf(publishBundle(dir, write)), Refused)
  assert.equal(readdirSync(parent), [])
})

test("an interruption leaves nothing", async ({ parent, dir }) => {
  await Effect.runPromise(
    Effect.gen(function* () {
      const write = (path: string) => Effect.andThen(writeSample()(path), Effect.never)
      const fiber = yield* Effect.forkChild(publishBundle(dir, write))
      while (!readdirSync(parent).some((name) => existsSync(join(parent, name, STATE_FILE)))) yield* Effect.sleep(1)
      yield* Fiber.interrupt(fiber)
    }),
  )
  assert.equal(readdirSync(parent), [])
})

test("interrupted at any moment: all of it or nothing", async ({ parent, dir }) => {
  const seen = { none: 0, whole: 0 }
  for (let round = 0; round < 150; round++) {
    const fiber = Effect.runFork(publishBundle(dir, writeSample()))
    const until = performance.now() + Math.random() * 8
    while (performance.now() < until) await new Promise((resolve) => setImmediate(resolve))
    await Effect.runPromise(Fiber.interrupt(fiber))
    const names = readdirSync(parent)
    if (names.length === 0) seen.none++
    else {
      assert.equal(names, ["snapshot"])
      assert.equal(readdirSync(dir).sort(), [MEMORY_FILE, STATE_FILE])
      rmSync(dir, { recursive: true })
      seen.whole++
    }
  }
  assert.ok(seen.none > 0, "no round was interrupted early enough")
})

const refusedPaths: Record<string, (parent: string) => string> = {
  ENOENT: (parent) => join(parent, "absent", "snapshot"),
  ENOTDIR: (parent) => {
    writeFileSync(join(parent, "file"), "")
    return join(parent, "file", "snapshot")
  },
  ENAMETOOLONG: (parent) => join(parent, "n".repeat(250)),
}
for (const [errnoName, place] of Object.entries(refusedPaths)) {
  test(`a place that cannot be written to: ${errnoName}`, async ({ parent }) => {
    const error = await failureOf(publishBundle(place(parent), writeSample()))
    assert.instance(error, SnapshotWriteFailed)
    assert.is((error as SnapshotWriteFailed).errnoName, errnoName)
    assert.is((error as SnapshotWriteFailed).code, "CRYOVM_SNAPSHOT_WRITE_FAILED")
  })
}

test("a file of the bundle is a plain name, and written once", async ({ parent }) => {
  for (const name of ["../escaped", "a/b", "/tmp/escaped"]) {
    assert.instance(await failureOf(writeBundleFile(parent, name, new Uint8Array(1))), SnapshotWriteFailed)
  }
  await Effect.runPromise(writeBundleFile(parent, "once", new Uint8Array(1)))
  const error = await failureOf(writeBundleFile(parent, "once", new Uint8Array(1)))
  assert.is(error.errnoName, "EEXIST")
})

/** Mounts a tmpfs for the time of `body`, where this process may. */
const withTmpfs = async (at: string, options: string, body: () => Promise<void>): Promise<void> => {
  mkdirSync(at)
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", options, "cryovm-test", at])
  assert.is(mounted.status, 0, String(mounted.stderr))
  try {
    await body()
  } finally {
    spawnSync("umount", ["-l", at])
  }
}

const canMount = (() => {
  const probe = mkdtempSync(join(tmpdir(), "cryovm-mount-"))
  try {
    if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "cryovm-test", probe]).status !== 0) return false
    spawnSync("umount", [probe])
    return true
  } finally {
    rmSync(probe, { recursive: true, force: true })
  }
})()
// Where nothing can be mounted these are counted as skipped, never as passed.
const mountTest = canMount ? test : test.skip

mountTest("a full file system: said so, with a remedy, and nothing stays", async ({ parent }) => {
  const small = join(parent, "small")
  await withTmpfs(small, "size=64k", async () => {
    const write = (path: string) => writeBundleFile(path, MEMORY_FILE, new Uint8Array(1_000_000))
    const error = (await failureOf(publishBundle(join(small, "snapshot"), write))) as SnapshotWriteFailed
    assert.instance(error, SnapshotWriteFailed)
    assert.is(error.errnoName, "ENOSPC")
    assert.match(error.message, /free some space/)
    assert.equal(readdirSync(small), [])
  })
})

mountTest("a read-only file system: said so, with a remedy", async ({ parent }) => {
  const readOnly = join(parent, "read-only")
  await withTmpfs(readOnly, "ro", async () => {
    const error = (await failureOf(publishBundle(join(readOnly, "snapshot"), writeSample()))) as SnapshotWriteFailed
    assert.instance(error, SnapshotWriteFailed)
    assert.is(error.errnoName, "EROFS")
    assert.match(error.message, /read-only/)
  })
})

mountTest("when the new one cannot be moved in, the old one is put back", async ({ parent, dir }) => {
  await Effect.runPromise(publishBundle(dir, writeSample("old")))
  let mounted = ""
  // A directory that something is mounted on cannot be renamed.
  const write = (path: string) =>
    Effect.andThen(
      Effect.sync(() => {
        assert.is(spawnSync("mount", ["-t", "tmpfs", "cryovm-test", path]).status, 0)
        mounted = path
      }),
      writeSample("new")(path),
    )
  try {
    const error = (await failureOf(publishBundle(dir, write, { overwrite: true }))) as SnapshotWriteFailed
    assert.instance(error, SnapshotWriteFailed)
    assert.is(error.errnoName, "EBUSY")
  } finally {
    spawnSync("umount", ["-l", mounted])
  }
  assert.is(memoryOf(dir), "old")
  assert.equal(
    readdirSync(parent).filter((name) => name.endsWith(".old")),
    [],
  )
})

/** Runs `look` after every step that gives something another name. */
const afterEachMove = (look: () => void): Disposable => {
  const native = loadNative()
  const { exchangePaths } = native
  const { rename } = promises
  native.exchangePaths = (a, b) => {
    exchangePaths(a, b)
    look()
  }
  promises.rename = async (from, to) => {
    await rename(from, to)
    look()
  }
  syncBuiltinESMExports()
  return {
    [Symbol.dispose]: () => {
      native.exchangePaths = exchangePaths
      promises.rename = rename
      syncBuiltinESMExports()
    },
  }
}

test("while a snapshot is replaced, its name is never without a complete one", async ({ parent, dir }) => {
  await Effect.runPromise(publishBundle(dir, writeSample("old")))
  const seen: string[] = []
  using _ = afterEachMove(() => {
    assert.equal(readdirSync(dir).sort(), [MEMORY_FILE, STATE_FILE])
    seen.push(memoryOf(dir))
  })
  await Effect.runPromise(publishBundle(dir, writeSample("new"), { overwrite: true }))
  assert.equal([...new Set(seen)], ["new"])
  assert.equal(readdirSync(parent), ["snapshot"])
})

for (const errnoName of ["EINVAL", "ENOSYS"]) {
  test(`a file system that cannot exchange names (${errnoName}): the old snapshot is moved aside`, async (context) => {
    const { parent, dir } = context
    await Effect.runPromise(publishBundle(dir, writeSample("old")))
    const native = loadNative()
    const { exchangePaths } = native
    native.exchangePaths = () => {
      throw Object.assign(new Error("renameat2 failed"), { operation: "renameat2", errno: 1, errnoName })
    }
    try {
      await Effect.runPromise(publishBundle(dir, writeSample("new"), { overwrite: true }))
    } finally {
      native.exchangePaths = exchangePaths
    }
    assert.is(memoryOf(dir), "new")
    assert.equal(readdirSync(parent), ["snapshot"])
  })
}

/** Starts a process that replaces a snapshot again and again; gives it once it has begun. */
const overwriter = async (dir: string) => {
  const module = fileURLToPath(new URL("../../src/snapshot/bundle/bundle.js", import.meta.url))
  const program = `
    import { publishBundle, writeBundleFile } from ${JSON.stringify(module)}
    import * as Effect from "effect/Effect"
    for (let round = 0; ; round++) {
      await Effect.runPromise(publishBundle(${JSON.stringify(dir)}, (path) =>
        Effect.gen(function* () {
          yield* writeBundleFile(path, "memory.img", Buffer.from(String(round)))
          yield* writeBundleFile(path, "state.cryo", Buffer.from(String(round)))
        }), { overwrite: true }))
      process.stdout.write(".")
    }`
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: dirname(module),
  })
  await once(child.stdout, "data")
  child.stdout.resume()
  return child
}

test("an overwrite killed at any moment leaves a complete snapshot under the name", async ({ parent, dir }) => {
  await Effect.runPromise(publishBundle(dir, writeSample("old")))
  for (let round = 0; round < 5; round++) {
    const child = await overwriter(dir)
    const until = performance.now() + 20 + Math.random() * 100
    while (performance.now() < until) {
      // Not more of it: what is looked at may be removed meanwhile, as the old one.
      assert.ok(existsSync(dir))
      await new Promise((resolve) => setImmediate(resolve))
    }
    child.kill("SIGKILL")
    await once(child, "exit")
    assert.equal(readdirSync(dir).sort(), [MEMORY_FILE, STATE_FILE])
    assert.is(memoryOf(dir), readFileSync(join(dir, STATE_FILE), "utf8"))
  }
  await Effect.runPromise(publishBundle(dir, writeSample("new"), { overwrite: true }))
  assert.is(memoryOf(dir), "new")
  assert.equal(readdirSync(parent), ["snapshot"])
})

/** Starts a process that publishes and stops for ever in the middle; gives it once it is there. */
const stuckWriter = async (dir: string) => {
  const module = fileURLToPath(new URL("../../src/snapshot/bundle/bundle.js", import.meta.url))
  const program = `
    import { publishBundle, writeBundleFile } from ${JSON.stringify(module)}
    import * as Effect from "effect/Effect"
    setInterval(() => {}, 1000)
    Effect.runFork(publishBundle(${JSON.stringify(dir)}, (path) =>
      Effect.gen(function* () {
        yield* writeBundleFile(path, "state.cryo", new Uint8Array(10))
        process.stdout.write(path)
        yield* Effect.never
      }), { overwrite: true }))`
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: dirname(module),
  })
  const [path] = (await once(child.stdout, "data")) as [Buffer]
  return { child, temporary: path.toString() }
}

test("a writer killed in the middle leaves nothing under the name, and the next publish cleans up", async (context) => {
  const { parent, dir } = context
  const { child, temporary } = await stuckWriter(dir)
  assert.ok(existsSync(join(temporary, STATE_FILE)))
  assert.not(existsSync(dir))

  // As long as the writer lives, its directory is not touched.
  await Effect.runPromise(publishBundle(join(parent, "other"), writeSample()))
  assert.ok(existsSync(temporary))

  child.kill("SIGKILL")
  await once(child, "exit")
  assert.not(existsSync(dir))
  assert.ok(existsSync(temporary))
  await Effect.runPromise(publishBundle(dir, writeSample()))
  assert.equal(readdirSync(parent).sort(), ["other", "snapshot"])
})

test("an overwrite cut off between its two renames is undone by the next publish", async ({ parent, dir }) => {
  await Effect.runPromise(publishBundle(dir, writeSample("old")))
  const { child, temporary } = await stuckWriter(dir)
  // What a kill there leaves: the old one aside, the new one still under its temporary name.
  cpSync(dir, `${temporary}.old`, { recursive: true })
  rmSync(dir, { recursive: true })
  child.kill("SIGKILL")
  await once(child, "exit")
  assert.instance(await failureOf(publishBundle(dir, writeSample("new"))), SnapshotExists)
  assert.is(memoryOf(dir), "old")
  assert.equal(readdirSync(parent), ["snapshot"])
})

test("an old snapshot left aside is removed once the new one is there", async ({ parent, dir }) => {
  const { child, temporary } = await stuckWriter(dir)
  cpSync(temporary, `${temporary}.old`, { recursive: true })
  child.kill("SIGKILL")
  await once(child, "exit")
  mkdirSync(dir)
  writeFileSync(join(dir, MEMORY_FILE), "new")
  await sweepTemporaries(parent)
  assert.equal(readdirSync(parent), ["snapshot"])
  assert.is(memoryOf(dir), "new")
})

test("a writer that cannot be looked up is given an hour", async ({ parent, dir }) => {
  // Another boot or process id namespace, in which this process id may well be alive.
  const foreign = join(parent, `.snapshot.cryovm-999999999-${"0".repeat(16)}`)
  mkdirSync(foreign)
  const now = Date.now()
  await sweepTemporaries(parent, now + STALE_AFTER_MILLISECONDS - 60_000)
  assert.ok(existsSync(foreign))
  await sweepTemporaries(parent, now + STALE_AFTER_MILLISECONDS + 60_000)
  assert.not(existsSync(foreign))

  // One of ours that lives is never stale.
  const own = temporaryPath(dir)
  mkdirSync(own)
  await sweepTemporaries(parent, now + 1000 * STALE_AFTER_MILLISECONDS)
  assert.ok(existsSync(own))
})

test("what only resembles a temporary directory is left alone", async ({ parent, dir }) => {
  const dead = temporaryPath(dir).replace(`-${process.pid}-`, "-999999999-")
  const random = dead.slice(-16)
  const names = [
    `snapshot.cryovm-999999999-${random}`,
    `.snapshot.cryovm-999999999-${random}x`,
    `.snapshot.cryovm-999999999-${random.slice(1)}`,
    `.snapshot.cryovm-0-${random}`,
    `.snapshot.cryovm--${random}`,
    `.cryovm-999999999-${random}`,
    `.snapshot.cryovm-999999999-${random}.older`,
  ]
  for (const name of names) mkdirSync(join(parent, name))
  const file = `${dead.slice(0, -1)}${dead.endsWith("0") ? 1 : 0}`
  writeFileSync(file, "a file")
  mkdirSync(dead)
  const outside = join(parent, "outside")
  mkdirSync(outside)
  writeFileSync(join(outside, "kept"), "")
  symlinkSync(outside, join(dead, "link"))
  await sweepTemporaries(parent, Date.now() + 1000 * STALE_AFTER_MILLISECONDS)
  assert.not(existsSync(dead))
  assert.ok(existsSync(file))
  assert.ok(existsSync(join(outside, "kept")))
  for (const name of names) assert.ok(existsSync(join(parent, name)), name)
})

test("a sweep of a place that cannot be read does nothing", async ({ parent }) => {
  await sweepTemporaries(join(parent, "absent"))
  writeFileSync(join(parent, "file"), "")
  await sweepTemporaries(join(parent, "file"))
})

test.run()
