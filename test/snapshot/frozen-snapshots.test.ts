import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { brotliDecompressSync } from "node:zlib"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { inspectSnapshot, MicroVm } from "../../src/index.ts"
import { FORMAT_VERSION } from "../../src/state/envelope.ts"
import { exchange } from "../support/exchange.ts"
import { snapshotsDir } from "../support/frozen.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"

/** Every snapshot ever frozen. One that is not there any more fails the test. */
const frozen: readonly string[] = ["1/first", "1/balloon-1", "1/balloon-2", "1/host-profile"]

/** Copies a frozen snapshot to where it can be used, its memory unpacked. */
const thaw = (name: string, to: string): void => {
  mkdirSync(to)
  copyFileSync(join(snapshotsDir, name, "state.cryo"), join(to, "state.cryo"))
  const memory = brotliDecompressSync(readFileSync(join(snapshotsDir, name, "memory.img.br")))
  writeFileSync(join(to, "memory.img"), memory)
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

for (const name of frozen) {
  kvmTest(`the frozen snapshot ${name} is restored, and its guest goes on`, async () => {
    using scratch = temporaryDirectory()
    const dir = join(scratch.path, "snapshot")
    thaw(name, dir)
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
