// time limit: 600 s
import { setTimeout as sleep } from "node:timers/promises"
import { test } from "uvu"
import * as assert from "uvu/assert"
import type { MicroVm } from "../../src/index.ts"
import { balloonGuest, balloonOf, fill, inflateTo } from "../support/balloon-guest.ts"
import { MIB } from "../support/guest-rss.ts"
import { kvmTest } from "../support/kvm.ts"

/** Waits until there have been that many readings more. */
const readings = async (vm: MicroVm, more: number, limitMs: number): Promise<number> => {
  const { metrics } = balloonOf(vm)
  const wanted = metrics.statisticsReadings + more
  const began = performance.now()
  while (metrics.statisticsReadings < wanted) {
    if (performance.now() - began > limitMs) throw new Error(`no reading within ${limitMs} ms`)
    await sleep(10)
  }
  return performance.now() - began
}

const present = (value: number | undefined): number => {
  if (value === undefined) throw new Error("the guest did not tell this figure")
  return value
}

kvmTest("faults grow with work; free and available memory fall with inflating and rise with deflating", async () => {
  await using vm = await balloonGuest({ statisticsIntervalSeconds: 1 })
  const now = () => balloonOf(vm).statistics({ refresh: true })
  const idle = await now()
  assert.ok(present(idle.totalMemory) > 200 * MIB)
  await fill(vm, 16)
  await vm.guest.exec("ls -R /sys/class > /dev/null")
  const worked = await now()
  assert.ok(present(worked.minorFaults) > present(idle.minorFaults) + 10)
  // Without a disk nothing has to be read for a fault: there are none of the major kind, and the guest says so.
  assert.ok(present(worked.majorFaults) >= present(idle.majorFaults))
  await inflateTo(vm, 32)
  const inflated = await now()
  assert.ok(present(worked.freeMemory) - present(inflated.freeMemory) > 0.85 * 32 * MIB)
  assert.ok(present(worked.availableMemory) - present(inflated.availableMemory) > 0.85 * 32 * MIB)
  await inflateTo(vm, 0)
  const deflated = await now()
  // Not all of it: part of what the driver frees waits in the processor's own list of pages, which counts as neither.
  assert.ok(present(deflated.freeMemory) - present(inflated.freeMemory) > 8 * MIB)
  assert.ok(present(deflated.availableMemory) - present(inflated.availableMemory) > 8 * MIB)
  assert.is(balloonOf(vm).metrics.statisticsUnknownTags, 0)
})

kvmTest(
  "readings change when the interval has passed, and a change of the interval refreshes them at once",
  async () => {
    await using vm = await balloonGuest({ statisticsIntervalSeconds: 1 })
    const balloon = balloonOf(vm)
    await readings(vm, 1, 20_000)
    const first = await balloon.statistics()
    const held = await vm.guest.fillMemory(32, { huge: true, hold: true })
    await readings(vm, 2, 20_000)
    const second = await balloon.statistics()
    assert.ok(present(second.availableMemory) < present(first.availableMemory) - 24 * MIB)

    await vm.guest.releaseMemory(held.handle)
    const changed = readings(vm, 1, 20_000)
    await balloon.setPollingInterval(60)
    const waited = await changed
    assert.ok(waited < 10_000, `a new interval of 60 s brought a reading after ${waited} ms`)
    const third = await balloon.statistics()
    assert.ok(present(third.availableMemory) > present(second.availableMemory) + 24 * MIB)
  },
)

test.run()
