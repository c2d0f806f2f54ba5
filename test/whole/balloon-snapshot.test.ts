// time limit: 600 s
import { fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { test } from "uvu"
import * as assert from "uvu/assert"
import type { BalloonStatistics } from "../../src/index.ts"
import { balloonGuest, balloonOf, inflateTo } from "../support/balloon-guest.ts"
import { MIB } from "../support/guest-rss.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"

interface Seen {
  readonly atRestore: { readonly target: number; readonly actual: number }
  readonly availableAtFirst: number
  readonly restored: number
  readonly filled: number
  readonly inflated: number
  readonly availableMemory: number
}

const elsewhere = async (dir: string, target: number): Promise<Seen> => {
  const script = fileURLToPath(new URL("../support/balloon-elsewhere.js", import.meta.url))
  const child = fork(script, [dir, String(target)], { stdio: "inherit" })
  const [seen] = await Promise.race([
    once(child, "message") as Promise<[Seen]>,
    once(child, "exit").then(([code]) => Promise.reject(new Error(`the process ended with ${code}`))),
  ])
  return seen
}

const assertWorks = (seen: Seen, before: BalloonStatistics): void => {
  assert.ok(seen.availableAtFirst > 0, "statistics go on")
  assert.ok(seen.filled - seen.restored > 40 * MIB, `filling: ${seen.restored} to ${seen.filled}`)
  assert.ok(seen.filled - seen.inflated > 8 * MIB, `inflating: ${seen.filled} to ${seen.inflated}`)
  assert.ok(seen.availableMemory < (before.availableMemory ?? 0), "available memory is lower than before the snapshot")
}

kvmTest("across pause, snapshot and restore in another process the balloon works on", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "snapshot")
  await using vm = await balloonGuest({ statisticsIntervalSeconds: 1 })
  await inflateTo(vm, 20)
  const before = await balloonOf(vm).statistics({ refresh: true })
  await vm.pause()
  await vm.snapshot({ dir })
  const seen = await elsewhere(dir, 40)
  assert.equal(seen.atRestore, { target: 20, actual: 20 })
  assertWorks(seen, before)
})

kvmTest("a request for statistics that is under way at the snapshot is answered in the other process", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "snapshot")
  await using vm = await balloonGuest({ statisticsIntervalSeconds: 2 })
  const balloon = balloonOf(vm)
  const before = await balloon.statistics({ refresh: true })
  // The buffer goes back to the guest, and the machine is paused before it can have filled it.
  await balloon.setPollingInterval(1)
  await vm.pause()
  await vm.snapshot({ dir })
  assertWorks(await elsewhere(dir, 40), before)
})

kvmTest("an inflation in the middle is finished in the other process", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "snapshot")
  await using vm = await balloonGuest({ statisticsIntervalSeconds: 1 })
  const balloon = balloonOf(vm)
  const before = await balloon.statistics({ refresh: true })
  await balloon.setTarget(32)
  for await (const state of balloon.states) if (state.actualPages >= 2 * 256) break
  await vm.pause()
  await vm.snapshot({ dir })
  const seen = await elsewhere(dir, 48)
  assert.is(seen.atRestore.target, 32)
  assert.ok(seen.atRestore.actual < 32, `saved at ${seen.atRestore.actual} MiB`)
  assertWorks(seen, before)
})

test.run()
