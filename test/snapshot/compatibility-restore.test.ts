// time limit: 60 s
import { rmSync, truncateSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { test } from "uvu"
import * as assert from "uvu/assert"
import * as effects from "../../src/effect.ts"
import {
  checkCompatibility,
  describeNeeds,
  formatHostProfile,
  formatSnapshotNeeds,
  type HostProfile,
  hostProfile,
  inspectSnapshot,
  MicroVm,
  parseHostProfile,
  parseSnapshotNeeds,
  SnapshotIncompatible,
} from "../../src/index.ts"
import { withoutBits } from "../support/compatibility.ts"
import { exchange } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { everyDeviceMachine } from "../support/tiny-kernel.ts"

const saveIn = async (folder: string): Promise<string> => {
  const dir = join(folder, "snapshot")
  await using vm = await MicroVm.create(everyDeviceMachine)
  await vm.start()
  await exchange(vm, "abc")
  await vm.snapshot({ dir })
  return dir
}

/** Without the time stamp counter, which no guest is without. */
const withoutTsc = (host: HostProfile) => withoutBits(host, 1, 0, "edx", 1 << 4)

const refusal = async (attempt: Promise<MicroVm>): Promise<SnapshotIncompatible> => {
  try {
    await using _ = await attempt
  } catch (error) {
    assert.instance(error, SnapshotIncompatible)
    return error as SnapshotIncompatible
  }
  throw new Error("it was restored")
}

kvmTest("a host is measured, and its profile taken elsewhere", async () => {
  const host = await hostProfile()
  assert.is(host.architecture, "x86_64")
  assert.ok((host.supportedCpuid?.length ?? 0) > 4)
  assert.ok((host.msrIndices?.length ?? 0) > 10)
  assert.ok((host.memoryBytes ?? 0) > 2 ** 26)
  assert.ok((host.availableMemoryBytes ?? 0) > 0)
  assert.ok((host.cryovm?.components["manifest"] ?? 0) >= 2)
  assert.is(host.tscScales, (host.capabilities["TSC_CONTROL"] ?? 0) > 0)
  assert.ok(host.kvmModules === null || host.kvmModules.includes("kvm"))
  assert.equal(parseHostProfile(formatHostProfile(host)), host)
  assert.equal(
    { ...(await Effect.runPromise(effects.hostProfile)), availableMemoryBytes: 0 },
    { ...host, availableMemoryBytes: 0 },
  )
})

kvmTest("a snapshot made here runs here, on its writer's profile, and by its needs alone", async () => {
  using scratch = temporaryDirectory()
  const dir = await saveIn(scratch.path)
  assert.equal(await checkCompatibility(dir), { verdict: "runs", findings: [] })
  const { host } = await inspectSnapshot(dir)
  assert.equal(await checkCompatibility(dir, host), { verdict: "runs", findings: [] })
  const needs = await describeNeeds(dir)
  rmSync(dir, { recursive: true })
  const carried = parseSnapshotNeeds(formatSnapshotNeeds(needs))
  assert.equal(await checkCompatibility(carried, await hostProfile()), { verdict: "runs", findings: [] })
  assert.equal(await Effect.runPromise(effects.checkCompatibility(carried)), { verdict: "runs", findings: [] })
  const elsewhere = await checkCompatibility(carried, withoutTsc(host))
  assert.is(elsewhere.verdict, "will-not-run")
  assert.equal(elsewhere.findings[0]?.subject, "TSC")
})

kvmTest("asked of another host, neither this one nor the memory file is looked at", async () => {
  using scratch = temporaryDirectory()
  const dir = await saveIn(scratch.path)
  const { host } = await inspectSnapshot(dir)
  truncateSync(join(dir, "memory.img"), 4096)
  assert.equal(
    (await checkCompatibility(dir)).findings.map(({ code }) => code),
    ["memory-file"],
  )
  rmSync(join(dir, "memory.img"))
  assert.is((await checkCompatibility(dir)).verdict, "will-not-run")
  assert.is((await checkCompatibility(dir, host)).verdict, "runs")
})

kvmTest("a restore refuses what will not run, and force overrides", async () => {
  using scratch = temporaryDirectory()
  const dir = await saveIn(scratch.path)
  const host = withoutTsc(await hostProfile())
  const error = await refusal(MicroVm.restore(dir, { compatibility: { host } }))
  assert.is(error.code, "CRYOVM_SNAPSHOT_INCOMPATIBLE")
  assert.is(error.dir, dir)
  assert.equal(
    error.findings.map(({ severity, code, subject }) => [severity, code, subject]),
    [["blocker", "cpu-feature-lost", "TSC"]],
  )
  assert.match(error.message, /TSC: expected TSC \(CPUID\.1\.0:EDX\[4\]\)/)
  assert.match(error.message, /boot the guest anew/)
  await using vm = await MicroVm.restore(dir, { compatibility: { host }, force: true, resume: true })
  assert.is((await exchange(vm, "d")).at(-1), 4)
})

kvmTest("what runs with care is restored, unless less is accepted", async () => {
  using scratch = temporaryDirectory()
  const dir = await saveIn(scratch.path)
  const host: HostProfile = { ...(await hostProfile()), kernelRelease: "4.19" }
  const error = await refusal(MicroVm.restore(dir, { compatibility: { host, accept: "runs" } }))
  assert.equal(
    error.findings.map(({ code }) => code),
    ["host-kernel-older"],
  )
  assert.match(error.message, /runs only with care/)
  await using vm = await MicroVm.restore(dir, { compatibility: { host }, resume: true })
  assert.is((await exchange(vm, "d")).at(-1), 4)
  await using strict = await MicroVm.restore(dir, { compatibility: { accept: "runs" } })
  assert.is(strict.state, "paused")
})

test.run()
