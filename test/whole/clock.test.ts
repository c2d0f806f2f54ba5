// time limit: 300 s
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm, type RestoreClock } from "../../src/index.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const SECOND = 1_000_000_000n

kvmTest("kvmclock goes on from the pause, or jumps to real time when asked", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "snapshot")
  let before: bigint
  {
    // A guest that reads the TSC instead would not be concerned.
    await using vm = await MicroVm.create({ extraCommandLine: "clocksource=kvm-clock" })
    await vm.start()
    await vm.guest.ready({ timeoutMs: 150_000 })
    before = (await vm.guest.time()).monotonic
    await vm.snapshot({ dir })
  }
  const saved = performance.now()
  const monotonic = async (clock: RestoreClock): Promise<bigint> => {
    await using vm = await MicroVm.restore(dir, { resume: true, clock })
    return (await vm.guest.time()).monotonic - before
  }
  await sleep(5000)
  const continued = await monotonic("continue")
  const away = BigInt(Math.floor((performance.now() - saved) * 1e6))
  const jumped = await monotonic("realtime")
  assert.ok(continued > 0n && continued < 3n * SECOND, `continued after ${continued} ns`)
  assert.ok(jumped >= away - SECOND / 2n, `jumped by ${jumped} ns; ${away} ns had passed`)
})

test.run()
