// time limit: 600 s
/** The balloon with Linux's own driver. The bounds of what it frees are asserted elsewhere; here it works at all. */
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { warmGuest } from "../support/warm-guest.ts"

const MIB = 2 ** 20
const DRIVER = "/sys/bus/virtio/drivers/virtio_balloon"

const freeMib = async (vm: MicroVm): Promise<number> => {
  const { meminfo } = await vm.guest.memoryInfo()
  return (meminfo.get("MemFree") ?? 0) / MIB
}

const inflateTo = async (vm: MicroVm, mib: number): Promise<void> => {
  await vm.balloon!.setTarget(mib)
  await vm.balloon!.waitFor(mib, { signal: AbortSignal.timeout(120_000) })
}

const plain = { memoryMib: 128, devices: { balloon: {} } }

kvmTest("memory goes to the host and comes back, and the statistics tell of it", async () => {
  await using vm = await MicroVm.restore(await warmGuest(plain), { resume: true })
  const balloon = vm.balloon!
  assert.equal([balloon.target, balloon.actual], [0, 0])
  await vm.guest.fillMemory(48, { huge: true })
  // What the filling program had comes back a little after its end.
  for (let waited = 0; (await freeMib(vm)) < 96 && waited < 50; waited++) await vm.guest.sleep(100)
  const filled = { resident: vm.residentBytes, free: await freeMib(vm) }
  const before = await balloon.statistics({ refresh: true })

  await inflateTo(vm, 64)
  assert.equal([balloon.target, balloon.actual], [64, 64])
  assert.ok(filled.resident - vm.residentBytes > 24 * MIB, `${filled.resident} to ${vm.residentBytes}`)
  assert.ok(filled.free - (await freeMib(vm)) > 0.85 * 64)
  const inflated = await balloon.statistics({ refresh: true })
  assert.ok(before.freeMemory! - inflated.freeMemory! > 0.85 * 64 * MIB)
  assert.ok(before.availableMemory! > inflated.availableMemory!)
  const { metrics } = balloon
  assert.equal([metrics.inflatePages, metrics.outsideBytes, metrics.failedBytes, metrics.oddBuffers], [16384, 0, 0, 0])
  assert.is(metrics.discardedBytes + metrics.zeroedBytes, 64 * MIB)

  await inflateTo(vm, 0)
  assert.ok((await freeMib(vm)) > filled.free - 12)
  assert.is((await vm.guest.readFreshMemory(32, { huge: true })).pagesNotZero, 0n)
  const deflated = await balloon.statistics({ refresh: true })
  assert.ok(deflated.freeMemory! > inflated.freeMemory!)
  assert.ok(deflated.minorFaults! > before.minorFaults!)
})

/** 4,096 pages of what the guest's allocator has in its middle. */
const dirtyPages = async (vm: MicroVm): Promise<number> => Number(await vm.guest.readPhysical(16384n, 4096))

kvmTest(
  "what was discarded is zero in the guest's physical memory, also where the snapshot's file has other bytes",
  async () => {
    using scratch = temporaryDirectory()
    const dir = join(scratch.path, "dirty")
    {
      await using vm = await MicroVm.restore(await warmGuest(plain), { resume: true })
      await vm.guest.fillMemory(88, { huge: true })
      await vm.guest.sleep(500)
      assert.is(await dirtyPages(vm), 4096)
      await vm.snapshot({ dir })
      await inflateTo(vm, 100)
      assert.is(await dirtyPages(vm), 0)
      await inflateTo(vm, 0)
      assert.ok((await dirtyPages(vm)) < 64, "the guest itself has used next to nothing of it meanwhile")
    }
    await using copy = await MicroVm.restore(dir, { resume: true })
    assert.is(await dirtyPages(copy), 4096)
    await inflateTo(copy, 100)
    assert.is(await dirtyPages(copy), 0)
  },
)

kvmTest("polling brings readings, stops, and starts again", async () => {
  await using vm = await MicroVm.restore(await warmGuest(plain), { resume: true })
  const balloon = vm.balloon!
  const reading = (async () => {
    const seen: number[] = []
    for await (const statistics of balloon.statisticsStream) {
      seen.push(statistics.readings)
      if (seen.length === 4) return seen
    }
    return seen
  })()
  await vm.guest.sleep(100)
  await balloon.setPollingInterval(0.5)
  const seen = await reading
  assert.is(seen.length, 4)
  await balloon.setPollingInterval(0)
  await vm.guest.sleep(300)
  const readings = balloon.metrics.statisticsReadings
  await vm.guest.sleep(1500)
  assert.is(balloon.metrics.statisticsReadings, readings)
  await balloon.setPollingInterval(60)
  await vm.guest.sleep(300)
  assert.is(balloon.metrics.statisticsReadings, readings + 1, "another interval asks at once")
})

kvmTest("a driver that goes and comes back inflates to the target again", async () => {
  await using vm = await MicroVm.restore(await warmGuest(plain), { resume: true })
  const balloon = vm.balloon!
  await inflateTo(vm, 16)
  const name = (await vm.guest.exec(`basename ${DRIVER}/virtio*`)).stdout.trim()
  assert.is((await vm.guest.exec(`echo ${name} > ${DRIVER}/unbind`)).exitCode, 0)
  assert.equal([balloon.target, balloon.actual], [16, 0])
  await balloon.setTarget(12)
  assert.is((await vm.guest.exec(`echo ${name} > ${DRIVER}/bind`)).exitCode, 0)
  await balloon.waitFor(12, { signal: AbortSignal.timeout(60_000) })
  assert.ok(((await balloon.statistics({ refresh: true })).freeMemory ?? 0) > 0)
  await inflateTo(vm, 0)
})

kvmTest("an inflation that a snapshot cuts in two is finished by the copy", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "half")
  await using vm = await MicroVm.restore(await warmGuest(plain), { resume: true })
  const balloon = vm.balloon!
  await balloon.setPollingInterval(30)
  await balloon.setTarget(48)
  for await (const state of balloon.states) if (state.actualPages >= 4 * 256) break
  await vm.snapshot({ dir })
  await using copy = await MicroVm.restore(dir)
  const half = copy.balloon!.actual
  assert.ok(half >= 4 && half < 48, `saved at ${half} MiB`)
  assert.is(copy.balloon!.target, 48)
  await copy.resume()
  await copy.balloon!.waitFor(48, { signal: AbortSignal.timeout(60_000) })
  await balloon.waitFor(48, { signal: AbortSignal.timeout(60_000) })
  const fresh = await copy.balloon!.statistics({ refresh: true })
  assert.ok(fresh.freeMemory! < 80 * MIB)
  await inflateTo(copy, 0)
  assert.is((await copy.guest.readFreshMemory(32, { huge: true })).pagesNotZero, 0n)
})

const generous = {
  memoryMib: 256,
  devices: { balloon: { deflateOnOom: true, freePageHinting: true, freePageReporting: true } },
}

kvmTest("what the guest frees it reports, and hints when asked, and nothing in use is lost by it", async () => {
  await using vm = await MicroVm.restore(await warmGuest(generous), { resume: true })
  const { metrics } = vm.balloon!
  const held = await vm.guest.fillMemory(32, { huge: true, hold: true, pattern: 0x5a })
  await vm.guest.fillMemory(96, { huge: true })
  const filled = vm.residentBytes
  for (let waited = 0; filled - vm.residentBytes < 48 * MIB && waited < 40; waited++) await vm.guest.sleep(500)
  assert.ok(filled - vm.residentBytes >= 48 * MIB, `${filled} to ${vm.residentBytes}`)
  assert.ok(metrics.reportedRanges > 0)

  // While the guest takes and fills memory that it has just hinted.
  const filling = vm.guest.fillMemory(96, { huge: true, hold: true, pattern: 0xc3 })
  let done = false
  const finished = filling.finally(() => {
    done = true
  })
  while (!done) {
    await vm.balloon!.startHinting()
    await vm.guest.sleep(50)
  }
  const second = await finished
  await vm.balloon!.stopHinting()
  assert.ok(metrics.hintedRanges > 0, "there were hints")
  assert.is(second.signal, 0)
  for (const { handle } of [held, second]) assert.is((await vm.guest.verifyMemory(handle)).pagesNotPattern, 0n)
  for (const { handle } of [held, second]) await vm.guest.releaseMemory(handle)
  assert.is((await vm.guest.readFreshMemory(64, { huge: true })).pagesNotZero, 0n)
  assert.equal([metrics.outsideBytes, metrics.failedBytes], [0, 0])
})

test.run()
