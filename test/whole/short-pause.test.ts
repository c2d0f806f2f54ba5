// time limit: 120 s
/** A guest stands still while its state and memory are copied, and no longer: not until they are durable. */
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm, type MicroVmConfig, type MicroVmEvent, type SnapshotWriteFailed } from "../../src/index.ts"
import { countsTo, exchange } from "../support/exchange.ts"
import { holdRename } from "../support/held-calls.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { counterMachine, resetMachine } from "../support/tiny-kernel.ts"
import { warmGuest } from "../support/warm-guest.ts"

const started = async (config: MicroVmConfig): Promise<MicroVm> => {
  const vm = await MicroVm.create(config)
  await vm.start()
  return vm
}

const failureOf = (promise: Promise<unknown>): Promise<SnapshotWriteFailed> =>
  promise.then(
    () => {
      throw new Error("it succeeded")
    },
    (error: SnapshotWriteFailed) => error,
  )

/** The guest's next count, where it goes on from `dir`. */
const nextCountOf = async (dir: string): Promise<number | undefined> => {
  await using copy = await MicroVm.restore(dir, { resume: true })
  return (await exchange(copy, "x")).at(-1)
}

kvmTest("the guest runs on before the snapshot is durable, which holds what was at the pause", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "snap")
  await using vm = await started(counterMachine)
  assert.equal(await exchange(vm, "ab"), [1, 2])
  using held = holdRename()
  const saving = vm.snapshot({ dir })
  await held.reached
  assert.is(vm.state, "running")
  await countsTo(vm, 3)
  assert.not(existsSync(dir))
  held.letGo()
  const { milliseconds } = await saving
  assert.ok(milliseconds.paused > 0)
  assert.ok(milliseconds.state + milliseconds.memory <= milliseconds.paused)
  assert.ok(milliseconds.paused < milliseconds.total)
  assert.is(await nextCountOf(dir), 3)
  await countsTo(vm, 4)
})

kvmTest("a Linux guest answers while the snapshot of it is being published", async () => {
  using scratch = temporaryDirectory()
  await using vm = await MicroVm.restore(await warmGuest(), { resume: true })
  using held = holdRename()
  const saving = vm.snapshot({ dir: join(scratch.path, "snap") })
  await held.reached
  assert.is((await vm.guest.exec("echo still here")).stdout, "still here\n")
  held.letGo()
  await saving
})

kvmTest("events tell when it runs again, and only then that the snapshot is whole", async () => {
  using scratch = temporaryDirectory()
  const vm = await started(counterMachine)
  const events: MicroVmEvent[] = []
  const reading = (async () => {
    for await (const event of vm.events) events.push(event)
  })()
  await new Promise((resolve) => setTimeout(resolve, 20))
  using held = holdRename()
  const saving = vm.snapshot({ dir: join(scratch.path, "snap") })
  await held.reached
  const states = [
    { type: "state", state: "paused" },
    { type: "state", state: "running" },
  ] as const
  assert.equal(events, states)
  held.letGo()
  const info = await saving
  await vm.stop()
  await reading
  assert.equal(events, [...states, { type: "snapshot", info }, { type: "state", state: "stopped" }])
})

kvmTest("a machine that was paused stays so, and lost no time to the snapshot", async () => {
  using scratch = temporaryDirectory()
  await using vm = await started(counterMachine)
  await vm.pause()
  using held = holdRename()
  const saving = vm.snapshot({ dir: join(scratch.path, "snap") })
  await held.reached
  assert.is(vm.state, "paused")
  held.letGo()
  assert.is((await saving).milliseconds.paused, 0)
  assert.is(vm.state, "paused")
})

kvmTest(
  "while it is published the machine can be paused, resumed and stopped, and the snapshot stays whole",
  async () => {
    using scratch = temporaryDirectory()
    const dir = join(scratch.path, "snap")
    const vm = await started(counterMachine)
    assert.equal(await exchange(vm, "abc"), [1, 2, 3])
    using held = holdRename()
    const saving = vm.snapshot({ dir })
    await held.reached
    await vm.pause()
    await vm.resume()
    await vm.stop()
    assert.is(vm.state, "stopped")
    held.letGo()
    await saving
    assert.is(await nextCountOf(dir), 4)
  },
)

kvmTest("a guest that resets itself meanwhile is in the snapshot as it was before", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "snap")
  await using vm = await started(resetMachine)
  using held = holdRename()
  const saving = vm.snapshot({ dir })
  await held.reached
  await vm.console.write("!")
  await vm.stopped()
  held.letGo()
  await saving
  await using copy = await MicroVm.restore(dir, { resume: true })
  assert.is(copy.state, "running")
  await copy.console.write("!")
  await copy.stopped()
})

kvmTest("a failure after the pause leaves no trace, and the machine as it was", async () => {
  using scratch = temporaryDirectory()
  for (const paused of [false, true]) {
    await using vm = await started(counterMachine)
    if (paused) await vm.pause()
    using held = holdRename()
    const saving = failureOf(vm.snapshot({ dir: join(scratch.path, "snap") }))
    await held.reached
    held.letGo({ code: "EIO" })
    const error = await saving
    assert.equal([error.code, error.errnoName], ["CRYOVM_SNAPSHOT_WRITE_FAILED", "EIO"])
    assert.equal(readdirSync(scratch.path), [])
    assert.is(vm.state, paused ? "paused" : "running")
    if (paused) await vm.resume()
    assert.equal(await exchange(vm, "a"), [1])
  }
})

kvmTest("aborted as soon as the machine runs again, it leaves no trace either", async () => {
  using scratch = temporaryDirectory()
  await using vm = await started(counterMachine)
  const controller = new AbortController()
  const reason = new Error("changed my mind")
  const watching = (async () => {
    for await (const event of vm.events) {
      if (event.type !== "state" || event.state !== "running") continue
      controller.abort(reason)
      return
    }
  })()
  await new Promise((resolve) => setTimeout(resolve, 20))
  const error = await failureOf(vm.snapshot({ dir: join(scratch.path, "snap"), signal: controller.signal }))
  await watching
  assert.is(error, reason)
  assert.equal(readdirSync(scratch.path), [])
  assert.is(vm.state, "running")
  assert.equal(await exchange(vm, "a"), [1])
})

kvmTest("snapshots asked for at once are written one after another", async () => {
  using scratch = temporaryDirectory()
  await using vm = await started(counterMachine)
  using held = holdRename()
  const saving = ["1", "2"].map((name) => vm.snapshot({ dir: join(scratch.path, name) }))
  await held.reached
  assert.is(readdirSync(scratch.path).length, 1, "only the first is under way")
  held.letGo()
  await Promise.all(saving)
  assert.equal(readdirSync(scratch.path).sort(), ["1", "2"])
})

test.run()
