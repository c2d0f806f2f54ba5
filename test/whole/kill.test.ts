// time limit: 600 s
/** SIGKILL at any instant of writing a snapshot: what is visible is whole, and what was there is as it was. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { flatten, inspectSnapshot, MicroVm, verifySnapshot } from "../../src/index.ts"
import { kvmTest } from "../support/kvm.ts"
import { type Operation, operations } from "../support/operate-once.ts"
import { Puppet, puppetMachine } from "../support/puppet.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const program = fileURLToPath(new URL("../support/operate-once.js", import.meta.url))

/** Of each operation; so that the kills are 100 in all. */
const KILLS = 25
/** Kills are spread over the operation and as much again as this part of it. */
const BEYOND = 1.3

const MIB = 2 ** 20

/** Snapshots `base`, `middle` and `newest` of a small guest, each a difference to the one before. */
const saveSources = async (under: string): Promise<void> => {
  mkdirSync(under)
  const at = (name: string) => join(under, name)
  await using vm = await MicroVm.create({ ...puppetMachine, trackDirtyPages: true })
  await vm.start()
  await using puppet = new Puppet(vm)
  await puppet.fill(8 * MIB, 0x11n, 128 * 1024)
  await vm.snapshot({ dir: at("base") })
  await puppet.fill(8 * MIB, 0x22n, 64 * 1024)
  await vm.snapshot({ dir: at("middle"), type: "diff", parent: at("base") })
  await puppet.fill(9 * MIB, 0x33n, 64 * 1024)
  await vm.snapshot({ dir: at("newest"), type: "diff", parent: at("middle") })
}

/** Every file under a directory, with its content. */
const contentOf = (dir: string): ReadonlyMap<string, Buffer> =>
  new Map(
    readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((path) => [path, readFileSync(path)]),
  )

const assertUnchanged = (dir: string, before: ReadonlyMap<string, Buffer>): void => {
  const after = contentOf(dir)
  assert.equal([...after.keys()], [...before.keys()])
  for (const [path, content] of after) assert.is(Buffer.compare(content, before.get(path) as Buffer), 0, path)
}

/** A process that waits for the word to begin. */
const begin = async (operation: Operation, sources: string, out: string): Promise<ChildProcess> => {
  const child = fork(program, [operation, sources, out], { stdio: "inherit" })
  await once(child, "message")
  return child
}

/** Milliseconds that it takes, from the word on. */
const measure = async (operation: Operation, sources: string, out: string): Promise<number> => {
  const child = await begin(operation, sources, out)
  const began = performance.now()
  child.send("go")
  await once(child, "message")
  const milliseconds = performance.now() - began
  await once(child, "exit")
  return milliseconds
}

const kill = async (operation: Operation, sources: string, out: string, after: number): Promise<void> => {
  const child = await begin(operation, sources, out)
  const exited = once(child, "exit")
  child.send("go")
  await sleep(after)
  child.kill("SIGKILL")
  await exited
}

const isHidden = (name: string): boolean => name.startsWith(".")

for (const operation of operations) {
  kvmTest(`${operation}: killed ${KILLS} times at any instant`, async () => {
    using scratch = temporaryDirectory()
    const sources = join(scratch.path, "sources")
    const under = join(scratch.path, "under")
    const out = join(under, "out")
    await saveSources(sources)
    mkdirSync(under)
    const before = contentOf(sources)
    const duration = await measure(operation, sources, out)
    let leftBehind = 0
    const ids = new Set([(await inspectSnapshot(out)).id])
    for (let round = 0; round < KILLS; round++) {
      await kill(operation, sources, out, (duration * BEYOND * round) / (KILLS - 1))
      leftBehind += readdirSync(under).filter(isHidden).length
      assert.ok(readdirSync(under).includes("out"), "one of the two snapshots is always there")
      const { ok, links } = await verifySnapshot(out, { parents: [sources] })
      assert.ok(ok, JSON.stringify(links))
      assert.ok(links.every(({ hasDigests }) => hasDigests))
      ids.add((await inspectSnapshot(out)).id)
      assertUnchanged(sources, before)
      // The next writer removes what is left.
      await flatten(join(sources, "base"), join(under, "next"), { overwrite: true, verify: false })
      assert.equal(readdirSync(under).sort(), ["next", "out"])
    }
    assert.ok(leftBehind > 0, "some kills were in the midst of it")
    assert.ok(ids.size > 1, "some were behind its end")
    await using vm = await MicroVm.restore(out, { parents: [sources], resume: true })
    await using puppet = new Puppet(vm)
    assert.is(await puppet.readByte(9 * MIB), 0x33)
  })
}

test.run()
