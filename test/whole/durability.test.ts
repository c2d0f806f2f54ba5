// time limit: 300 s
import { fork } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm, type SnapshotWriteFailed } from "../../src/index.ts"
import { kvmTest } from "../support/kvm.ts"
import { canMount, smallFileSystem } from "../support/mounts.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { warmGuest } from "../support/warm-guest.ts"

const saver = fileURLToPath(new URL("../support/save-for-ever.js", import.meta.url))

/** The guest answers, and its counter goes on. */
const assertRuns = async (vm: MicroVm): Promise<void> => {
  const before = await vm.guest.counter()
  const after = await vm.guest.counter()
  assert.ok(after.value > before.value)
}

const failureOf = (promise: Promise<unknown>): Promise<SnapshotWriteFailed> =>
  promise.then(
    () => {
      throw new Error("it succeeded")
    },
    (error: SnapshotWriteFailed) => error,
  )

kvmTest("killed with SIGKILL at any instant of saving, no half snapshot is ever visible", async () => {
  using scratch = temporaryDirectory()
  const dir = await warmGuest()
  const seen = new Set<string>()
  for (let round = 0; round < 12; round++) {
    const child = fork(saver, [dir, scratch.path], { stdio: "inherit" })
    await once(child, "message")
    await new Promise((resolve) => setTimeout(resolve, 20 + round * 17))
    child.kill("SIGKILL")
    await once(child, "exit")
    for (const name of readdirSync(scratch.path).filter((entry) => !entry.startsWith("."))) {
      if (seen.has(name)) continue
      seen.add(name)
      await using vm = await MicroVm.restore(join(scratch.path, name), { resume: true })
      await assertRuns(vm)
    }
  }
  assert.ok(seen.size > 0, "some snapshots were finished before the kill")
})

const mountTest = canMount() ? kvmTest : (name: string, callback: () => Promise<void>) => test.skip(name, callback)

mountTest("a full disk: a typed error with a remedy, nothing left behind, and the guest runs on", async () => {
  await using vm = await MicroVm.restore(await warmGuest(), { resume: true })
  using disk = smallFileSystem("size=2m")
  const error = await failureOf(vm.snapshot({ dir: join(disk.path, "snap") }))
  assert.equal([error.code, error.errnoName], ["CRYOVM_SNAPSHOT_WRITE_FAILED", "ENOSPC"])
  assert.match(error.message, /full/)
  assert.equal(readdirSync(disk.path), [])
  assert.is(vm.state, "running")
  await assertRuns(vm)
})

mountTest("a read-only file system: a typed error, and the guest runs on", async () => {
  await using vm = await MicroVm.restore(await warmGuest(), { resume: true })
  using disk = smallFileSystem("size=2m")
  disk.remount("ro")
  const error = await failureOf(vm.snapshot({ dir: join(disk.path, "snap") }))
  assert.equal([error.code, error.errnoName], ["CRYOVM_SNAPSHOT_WRITE_FAILED", "EROFS"])
  assert.is(vm.state, "running")
  await assertRuns(vm)
})

kvmTest("a snapshot that is there already is refused before anything is done, or replaced when asked", async () => {
  using scratch = temporaryDirectory()
  await using vm = await MicroVm.restore(await warmGuest())
  const dir = join(scratch.path, "snap")
  const first = await vm.snapshot({ dir })
  assert.is((await failureOf(vm.snapshot({ dir }))).code, "CRYOVM_SNAPSHOT_EXISTS")
  const second = await vm.snapshot({ dir, overwrite: true })
  assert.is.not(second.id, first.id)
  assert.equal(readdirSync(scratch.path), ["snap"])
  await using copy = await MicroVm.restore(dir, { resume: true })
  await assertRuns(copy)
})

kvmTest("an aborted snapshot leaves nothing, and the guest runs on", async () => {
  using scratch = temporaryDirectory()
  await using vm = await MicroVm.restore(await warmGuest(), { resume: true })
  const controller = new AbortController()
  const reason = new Error("changed my mind")
  const error = await failureOf(
    vm.snapshot({
      dir: join(scratch.path, "snap"),
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
    }),
  )
  assert.is(error, reason)
  assert.equal(readdirSync(scratch.path), [])
  assert.is(vm.state, "running")
  await assertRuns(vm)
})

kvmTest("progress counts up to the guest's memory", async () => {
  using scratch = temporaryDirectory()
  await using vm = await MicroVm.restore(await warmGuest())
  const seen: number[] = []
  const info = await vm.snapshot({
    dir: join(scratch.path, "snap"),
    onProgress: ({ doneBytes, totalBytes }) => {
      assert.is(totalBytes, 128 * 2 ** 20)
      seen.push(doneBytes)
    },
  })
  assert.equal(
    [...seen].sort((a, b) => a - b),
    seen,
  )
  assert.is(seen.at(-1), info.memoryBytes)
  assert.ok(info.writtenBytes < info.memoryBytes / 2, "what was never touched is not written")
  assert.ok(existsSync(join(info.dir, "memory.img")))
})

kvmTest("a directory in the way that is no snapshot is not touched, even when overwriting", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "precious")
  mkdirSync(join(dir, "data"), { recursive: true })
  await using vm = await MicroVm.restore(await warmGuest())
  assert.is((await failureOf(vm.snapshot({ dir, overwrite: true }))).code, "CRYOVM_SNAPSHOT_EXISTS")
  assert.ok(existsSync(join(dir, "data")))
})

test.run()
