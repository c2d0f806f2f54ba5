import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { brotliDecompressSync } from "node:zlib"
import * as Effect from "effect/Effect"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { inspectSnapshot, MicroVm, verifySnapshot } from "../../src/index.ts"
import { loadNative } from "../../src/native.ts"
import { readStateFile } from "../../src/snapshot/bundle/bundle.ts"
import { FORMAT_VERSION } from "../../src/state/envelope.ts"
import { exchange } from "../support/exchange.ts"
import { snapshotsDir } from "../support/frozen.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"

/** Every snapshot ever frozen. One that is not there any more fails the test. */
const frozen: readonly string[] = [
  "1/first",
  "1/balloon-1",
  "1/balloon-2",
  "1/host-profile",
  "2/digests",
  "3/full",
  "3/chain",
]

/**
 * Copies a frozen snapshot to where it can be used, its memory unpacked; of a chain all directories.
 * @returns where the last of them is
 */
const thaw = (from: string, to: string): string => {
  mkdirSync(to)
  let last = to
  for (const entry of readdirSync(from, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(from, entry.name)
    if (entry.isDirectory()) last = thaw(path, join(to, entry.name))
    else if (!entry.name.endsWith(".br")) copyFileSync(path, join(to, entry.name))
    else writeFileSync(join(to, entry.name.slice(0, -3)), brotliDecompressSync(readFileSync(path)))
  }
  return last
}

test("every frozen snapshot is listed here, and every format has one", () => {
  const there = readdirSync(snapshotsDir).flatMap((format) =>
    readdirSync(join(snapshotsDir, format)).map((name) => `${format}/${name}`),
  )
  assert.equal(there.sort(), [...frozen].sort())
  const formats = new Set(frozen.map((name) => Number(name.split("/")[0])))
  assert.equal(
    [...formats].sort(),
    Array.from({ length: FORMAT_VERSION }, (_, index) => index + 1),
  )
})

/** What was thawed, directory by directory. */
const statesUnder = (dir: string): readonly string[] =>
  readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((path) => basename(path) === "state.cryo")
    .map((path) => dirname(join(dir, path)))

test("every frozen snapshot verifies, and the digests of its memory are still those of its content", async () => {
  using scratch = temporaryDirectory()
  let files = 0
  for (const name of frozen) {
    const to = join(scratch.path, name.replace("/", "-"))
    thaw(join(snapshotsDir, name), to)
    for (const dir of statesUnder(to)) {
      const { ok, links } = await verifySnapshot(dir)
      assert.ok(ok, dir)
      assert.is(links[0]?.hasDigests, !name.startsWith("1/"), dir)
      const { manifest, memoryDigests } = await Effect.runPromise(readStateFile(dir))
      if (memoryDigests === undefined) continue
      const content = readFileSync(join(dir, manifest.memory.file.name))
      assert.equal(loadNative().digest(content, memoryDigests.chunkBytes), memoryDigests.digests, dir)
      files++
    }
  }
  assert.is(files, 5)
})

for (const name of frozen) {
  kvmTest(`the frozen snapshot ${name} is restored, and its guest goes on`, async () => {
    using scratch = temporaryDirectory()
    const dir = thaw(join(snapshotsDir, name), join(scratch.path, "snapshot"))
    const description = await inspectSnapshot(dir)
    assert.is(description.machine.vcpuCount, 2)
    await using vm = await MicroVm.restore(dir)
    assert.is(vm.state, "paused")
    await vm.resume()
    assert.is((await exchange(vm, "d")).at(-1), 4)
    const again = join(scratch.path, "again")
    await vm.snapshot({ dir: again })
    await using copy = await MicroVm.restore(again, { resume: true })
    assert.is((await exchange(copy, "e")).at(-1), 5)
  })
}

test.run()
