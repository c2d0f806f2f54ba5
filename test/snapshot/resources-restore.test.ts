// time limit: 60 s
/** Snapshots that need files outside of themselves, restored and judged with those files in other places. */
import { rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { checkCompatibility, MicroVm, type ResourcesRefused, type SnapshotIncompatible } from "../../src/index.ts"
import { openSnapshot } from "../../src/snapshot/restore/open.ts"
import { countsTo } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { holdings } from "../support/process.ts"
import { counterAtFour, failureOf } from "../support/roll-back.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { nameResources } from "../support/with-resources.ts"

/** A counter at 4, its snapshot at 2, which needs a disk that was in `path`. */
const withDisk = async (folder: string) => {
  const { vm, dir } = await counterAtFour(folder)
  const path = join(folder, "disk")
  writeFileSync(path, "content")
  const { size, mtime } = statSync(path)
  await nameResources(dir, [{ name: "disk0", kind: "disk", path, size, modified: mtime.toISOString() }])
  return { vm, dir, path }
}

kvmTest("a machine is restored and rolled back with its disk in another place", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir, path } = await withDisk(scratch.path)
  await using _ = vm
  await vm.restoreFrom(dir)
  await countsTo(vm, 3)
  rmSync(path)
  const before = await holdings()
  for (const attempt of [
    () => MicroVm.restore(dir),
    () => vm.restoreFrom(dir),
    () => MicroVm.restore(dir, { force: true }),
  ]) {
    const error = await failureOf<ResourcesRefused>(attempt())
    assert.is(error.code, "CRYOVM_RESOURCES_REFUSED")
    assert.equal(error.problems, [{ name: "disk0", field: "path", message: `disk ${path}: it is not there` }])
  }
  assert.equal(await holdings(), before)
  await countsTo(vm, 4)

  const copy = join(scratch.path, "copy")
  writeFileSync(copy, "content")
  const resources = { disk0: { path: copy } }
  await using restored = await MicroVm.restore(dir, { resume: true, resources, compatibility: { accept: "runs" } })
  await countsTo(restored, 3)
  await vm.restoreFrom(dir, { resources })
  await countsTo(vm, 3)
})

kvmTest("whoever builds the machine is given where everything is", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir, path } = await withDisk(scratch.path)
  await vm.stop()
  const resourcesOf = (options?: Parameters<typeof openSnapshot>[1]) =>
    Effect.runPromise(Effect.scoped(Effect.map(openSnapshot(dir, options), ({ resources }) => resources)))
  const copy = join(scratch.path, "copy")
  writeFileSync(copy, "content")
  const places = [await resourcesOf(), await resourcesOf({ resources: { disk0: { path: copy } } })]
  assert.equal(
    places.map((resources) => resources.map(({ name, kind, path: place }) => [name, kind, place])),
    [[["disk0", "disk", path]], [["disk0", "disk", copy]]],
  )
})

kvmTest("a disk that changed makes it a matter of care, judged where the disk is", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir, path } = await withDisk(scratch.path)
  await vm.stop()
  const codesOf = async (resources = {}) =>
    (await checkCompatibility(dir, undefined, { resources })).findings.map(({ code, severity }) => [code, severity])
  assert.equal(await codesOf(), [])
  const copy = join(scratch.path, "copy")
  writeFileSync(copy, "content")
  writeFileSync(path, "longer content")
  assert.equal(await codesOf(), [["resource-changed", "care"]])
  const strict = { compatibility: { accept: "runs" } } as const
  const { findings } = await failureOf<SnapshotIncompatible>(MicroVm.restore(dir, strict))
  assert.equal(
    findings.map(({ code, subject }) => [code, subject]),
    [["resource-changed", "disk0"]],
  )
  const resources = { disk0: { path: copy } }
  assert.equal(await codesOf(resources), [])
  await using _restored = await MicroVm.restore(dir, { ...strict, resources })
  assert.equal(await codesOf({ disk0: { path: "/gone" } }), [["resource-missing", "blocker"]])
  assert.equal(await codesOf({ disk0: { path: scratch.path } }), [["resource-refused", "blocker"]])
  assert.equal(await codesOf({ ...resources, disk1: { path: copy } }), [["resource-refused", "blocker"]])
})

test.run()
