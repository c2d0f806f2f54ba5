// time limit: 240 s
/** Rolling back with guests of a few bytes: what it does, and that a failed one did nothing. */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { hostProfile, MicroVm, type MicroVmEvent, type VcpuFailed, type WrongState } from "../../src/index.ts"
import { withoutBits } from "../support/compatibility.ts"
import { countsTo } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { holdings } from "../support/process.ts"
import { counterAtFour, failingKvm, failureOf, snapshotOf, started } from "../support/roll-back.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import {
  counterMachine,
  everyDeviceMachine,
  haltMachine,
  lateFaultMachine,
  resetMachine,
  tripleFaultMachine,
} from "../support/tiny-kernel.ts"

kvmTest("a running machine goes on from the snapshot, as often as it is rolled back", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await using _ = vm
  for (let round = 0; round < 3; round++) {
    await vm.restoreFrom(dir)
    assert.is(vm.state, "running")
    await countsTo(vm, 3)
  }
})

kvmTest("a paused machine stays paused, and `resume` decides otherwise", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await using _ = vm
  await vm.restoreFrom(dir, { resume: false })
  assert.is(vm.state, "paused")
  await vm.restoreFrom(dir)
  assert.is(vm.state, "paused")
  await vm.restoreFrom(dir, { resume: true })
  assert.is(vm.state, "running")
  await countsTo(vm, 3)
})

kvmTest("a machine that never ran, and one that failed, go on from a snapshot too", async () => {
  using scratch = temporaryDirectory()
  const dir = await snapshotOf(counterMachine, scratch.path)
  await using failing = await started(tripleFaultMachine)
  const { code } = await failureOf(failing.stopped())
  assert.equal([code, failing.state], ["CRYOVM_VCPU_FAILED", "failed"])
  await failing.restoreFrom(dir)
  assert.is(failing.state, "paused")
  await failing.resume()
  await countsTo(failing, 1)
  const ended = failing.stopped()
  await failing.stop()
  await ended

  await using fresh = await MicroVm.create(haltMachine)
  await fresh.restoreFrom(dir, { resume: true })
  await countsTo(fresh, 1)
})

kvmTest("one that has stopped is over", async () => {
  using scratch = temporaryDirectory()
  const dir = await snapshotOf(counterMachine, scratch.path)
  const vm = await started(haltMachine)
  await vm.stop()
  const error = await failureOf(vm.restoreFrom(dir))
  assert.is(error.code, "CRYOVM_WRONG_STATE")
  assert.is(
    error.message,
    "cannot roll back a machine that is stopped: it has to be configured, running, paused, failed",
  )
})

kvmTest("events tell of it; their readers, those of the console and who waits for the end stay", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  const events: MicroVmEvent[] = []
  const said: number[] = []
  const reading = Promise.all([
    (async () => {
      for await (const event of vm.events) events.push(event)
    })(),
    (async () => {
      for await (const piece of vm.console.output) said.push(...piece)
    })(),
  ])
  let hasStopped = false
  const stopped = vm.stopped().then(() => {
    hasStopped = true
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  await vm.restoreFrom(dir)
  await countsTo(vm, 3)
  await vm.restoreFrom(dir)
  await countsTo(vm, 3)
  assert.not(hasStopped)
  await vm.stop()
  await stopped
  await reading
  const once = [
    { type: "state", state: "paused" },
    { type: "state", state: "running" },
    { type: "restored", dir },
  ] as const
  assert.equal(events, [...once, ...once, { type: "state", state: "stopped" }])
  assert.equal(said, [1, 2, 3, 4, 3, 3])
})

kvmTest("the snapshot may be of quite another machine", async () => {
  using scratch = temporaryDirectory()
  const plain = await snapshotOf(counterMachine, scratch.path, "plain")
  const rich = await snapshotOf(everyDeviceMachine, scratch.path, "rich")
  await using vm = await started(haltMachine)
  assert.is(vm.balloon, undefined)
  await vm.restoreFrom(rich)
  const { balloon } = vm
  assert.equal([vm.machine.vcpus, balloon?.target], [2, 4])
  await balloon?.setTarget(5)
  const waiting = failureOf(balloon?.waitFor() ?? Promise.resolve())

  await vm.restoreFrom(plain)
  assert.equal([vm.machine.vcpus, vm.balloon], [1, undefined])
  assert.is((await waiting).code, "CRYOVM_DEVICE_CLOSED")
  assert.is((await failureOf(balloon?.setTarget(6) ?? Promise.resolve())).code, "CRYOVM_DEVICE_CLOSED")
  const unavailable = await failureOf(vm.guest.exec("true"))
  assert.equal([unavailable.code, /no agent device/.test(unavailable.message)], ["CRYOVM_GUEST_UNAVAILABLE", true])

  await vm.restoreFrom(rich)
  assert.is(vm.balloon, balloon)
  assert.is(balloon?.target, 4)
})

kvmTest("a balloon that is kept works on, and so do its readers and its policy", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path, everyDeviceMachine)
  await using _ = vm
  const balloon = vm.balloon
  if (balloon === undefined) throw new Error("no balloon")
  const targets: number[] = []
  const reading = (async () => {
    for await (const state of balloon.states) targets.push(state.targetPages / 256)
  })()
  const policy = new AbortController()
  const keeping = failureOf(balloon.keepAvailable({ lowMib: 4, highMib: 8, signal: policy.signal }))
  const seen = async (count: number): Promise<void> => {
    while (targets.length < count) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await seen(1)
  await balloon.setTarget(6)
  await seen(2)
  await vm.restoreFrom(dir)
  assert.is(balloon.target, 4)
  await seen(3)
  await balloon.setTarget(7)
  await seen(4)
  assert.equal(targets, [4, 6, 4, 7])
  const reason = new Error("enough")
  policy.abort(reason)
  assert.is(await keeping, reason)
  await vm.stop()
  await reading
})

/** Every way in which a restore fails here, with the error's code. */
const failures = async (
  vm: MicroVm,
  dir: string,
  folder: string,
): Promise<readonly (readonly [string, () => Promise<void>])[]> => {
  const damaged = await snapshotOf(counterMachine, folder, "damaged")
  const state = readFileSync(join(damaged, "state.cryo"))
  state[state.length - 10] = (state.at(-10) ?? 0) ^ 1
  writeFileSync(join(damaged, "state.cryo"), state)
  const host = withoutBits(await hostProfile(), 1, 0, "edx", 1 << 4)
  const withFailing = (step: Parameters<typeof failingKvm>[0]) => async (): Promise<void> => {
    using _ = failingKvm(step)
    await vm.restoreFrom(dir, { resume: true })
  }
  return [
    ["CRYOVM_SNAPSHOT_NOT_FOUND", () => vm.restoreFrom(join(folder, "missing"))],
    ["CRYOVM_STATE_CORRUPT", () => vm.restoreFrom(damaged)],
    ["CRYOVM_SNAPSHOT_INCOMPATIBLE", () => vm.restoreFrom(dir, { compatibility: { host } })],
    ["CRYOVM_KVM", withFailing("setMemoryRegion")],
    ["CRYOVM_KVM", withFailing("setVcpu")],
    ["CRYOVM_KVM", withFailing("setVm")],
    ["CRYOVM_KVM", withFailing("resume")],
  ]
}

kvmTest("a failed rollback leaves a running machine running, and nothing behind", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await using _ = vm
  const attempts = await failures(vm, dir, scratch.path)
  const before = await holdings()
  let count = 4
  for (const [code, attempt] of attempts) {
    assert.is((await failureOf(attempt())).code, code)
    assert.is(vm.state, "running")
    await countsTo(vm, ++count)
  }
  assert.equal(await holdings(), before)
  await vm.restoreFrom(dir)
  await countsTo(vm, 3)
})

kvmTest("a failed rollback leaves any other machine as it was, too", async () => {
  using scratch = temporaryDirectory()
  const { vm: paused, dir } = await counterAtFour(scratch.path)
  await using _ = paused
  await paused.pause()
  await using fresh = await MicroVm.create(counterMachine)
  await using failing = await started(tripleFaultMachine)
  const error = await failureOf<VcpuFailed>(failing.stopped())
  for (const vm of [paused, fresh, failing]) {
    using folder = temporaryDirectory()
    const { state } = vm
    for (const [code, attempt] of await failures(vm, dir, folder.path)) {
      assert.is((await failureOf(attempt())).code, code)
      assert.is(vm.state, state)
    }
  }
  await paused.resume()
  await countsTo(paused, 5)
  await fresh.start()
  await countsTo(fresh, 1)
  assert.is(await failureOf(failing.stopped()), error)
})

kvmTest("an aborted rollback leaves the machine as it was", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await using _ = vm
  const before = await holdings()
  let count = 4
  for (const delay of [0, 1, 2, 4, 8]) {
    const controller = new AbortController()
    const reason = new Error("changed my mind")
    setTimeout(() => controller.abort(reason), delay)
    const hold = () => new Promise(() => {})
    assert.is(await failureOf(vm.restoreFrom(dir, { signal: controller.signal, afterRestore: hold })), reason)
    assert.is(vm.state, "running")
    await countsTo(vm, ++count)
  }
  assert.equal(await holdings(), before)
})

kvmTest("rollbacks and everything else that is asked for at once happen one after another", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await using _ = vm
  const all = [
    vm.restoreFrom(dir),
    vm.pause(),
    vm.restoreFrom(dir),
    vm.snapshot({ dir: join(scratch.path, "again") }),
    vm.resume(),
    vm.restoreFrom(dir),
  ]
  const outcomes = await Promise.allSettled(all)
  assert.equal(
    outcomes.map(({ status }) => status),
    all.map(() => "fulfilled"),
  )
  assert.is(vm.state, "running")
  await countsTo(vm, 3)
  await vm.restoreFrom(join(scratch.path, "again"))
  await countsTo(vm, 3)
})

kvmTest("stopped while it is rolled back, nothing stays", async () => {
  using scratch = temporaryDirectory()
  const before = await holdings()
  for (const delay of [0, 2, 5, 10, 20, 40]) {
    const { vm, dir } = await counterAtFour(scratch.path, counterMachine, `after ${delay} ms`)
    const rolling = vm.restoreFrom(dir).catch(({ code }: WrongState) => assert.is(code, "CRYOVM_WRONG_STATE"))
    await new Promise((resolve) => setTimeout(resolve, delay))
    await vm.stop()
    await rolling
    assert.is(vm.state, "stopped")
  }
  assert.equal(await holdings(), before)
})

kvmTest("a guest that ends itself while it is rolled back has ended before, or is rolled back", async () => {
  using scratch = temporaryDirectory()
  const outcomes = new Set<string>()
  for (const [name, config] of Object.entries({ reset: resetMachine, fault: lateFaultMachine })) {
    const dir = await snapshotOf(config, scratch.path, name)
    for (let round = 0; round < 12; round++) {
      await using vm = await started(config)
      await vm.console.write("!")
      await new Promise((resolve) => setTimeout(resolve, round % 4))
      const code = await vm.restoreFrom(dir, { resume: true }).then(
        () => "restored",
        (error: WrongState) => error.code,
      )
      outcomes.add(`${name}: ${code}, then ${vm.state}`)
      if (vm.state !== "running") continue
      // The new guest waits for its byte, and then ends as the old one did.
      await vm.console.write("!")
      await vm.stopped().catch(({ code }: VcpuFailed) => assert.is(code, "CRYOVM_VCPU_FAILED"))
    }
  }
  const allowed = [
    "reset: restored, then running",
    "reset: CRYOVM_WRONG_STATE, then stopped",
    "fault: restored, then running",
  ]
  assert.equal(
    [...outcomes].filter((outcome) => !allowed.includes(outcome)),
    [],
  )
})

kvmTest("fifty rollbacks leave nothing behind", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await using _ = vm
  for (let round = 0; round < 5; round++) await vm.restoreFrom(dir)
  const before = await holdings()
  for (let round = 0; round < 50; round++) {
    await vm.restoreFrom(dir)
    await countsTo(vm, 3)
  }
  assert.equal(await holdings(), before)
})

test.run()
