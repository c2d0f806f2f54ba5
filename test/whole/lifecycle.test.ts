import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm, type MicroVmEvent, type VcpuFailed, type WrongState } from "../../src/index.ts"
import { exchange } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import {
  counterMachine,
  haltMachine,
  internalErrorMachine,
  POPCNT,
  tripleFaultMachine,
} from "../support/tiny-kernel.ts"

const refusal = (promise: Promise<unknown>): Promise<WrongState> =>
  promise.then(
    () => {
      throw new Error("it was allowed")
    },
    (error: WrongState) => error,
  )

kvmTest("what a state does not allow is refused with the states that do, and changes nothing", async () => {
  await using vm = await MicroVm.create(haltMachine)
  for (const attempt of [() => vm.pause(), () => vm.resume(), () => vm.snapshot({ dir: "/nonexistent/never" })]) {
    const error = await refusal(attempt())
    assert.equal([error.code, error.from], ["CRYOVM_WRONG_STATE", "Configured"])
    assert.ok(error.allowedFrom.length > 0)
  }
  await vm.start()
  assert.is((await refusal(vm.start())).from, "Running")
  assert.is((await refusal(vm.resume())).from, "Running")
  await vm.pause()
  assert.is((await refusal(vm.pause())).from, "Paused")
  await vm.resume()
  assert.is(vm.state, "running")
  await vm.stop()
  assert.is((await refusal(vm.start())).from, "Stopped")
  await vm.stop()
  assert.is(vm.state, "stopped")
})

kvmTest("operations asked for at once happen one after another", async () => {
  await using vm = await MicroVm.create(haltMachine)
  await vm.start()
  const all = await Promise.allSettled([vm.pause(), vm.resume(), vm.pause(), vm.resume(), vm.pause()])
  assert.equal(
    all.map((result) => result.status),
    ["fulfilled", "fulfilled", "fulfilled", "fulfilled", "fulfilled"],
  )
  assert.is(vm.state, "paused")
})

kvmTest("events tell of every state, and end when the machine has stopped", async () => {
  const vm = await MicroVm.create(haltMachine)
  const events: MicroVmEvent[] = []
  const reading = (async () => {
    for await (const event of vm.events) events.push(event)
  })()
  await new Promise((resolve) => setTimeout(resolve, 20))
  await vm.start()
  await vm.pause()
  await vm.stop()
  await reading
  assert.equal(events, [
    { type: "state", state: "running" },
    { type: "state", state: "paused" },
    { type: "state", state: "stopped" },
  ])
})

const failureOf = async (vm: MicroVm): Promise<VcpuFailed> => {
  await vm.start()
  return vm.stopped().then(
    () => {
      throw new Error("it stopped without a failure")
    },
    (error: VcpuFailed) => error,
  )
}

kvmTest("a triple fault fails the machine with registers and the instruction", async () => {
  await using vm = await MicroVm.create(tripleFaultMachine)
  const error = await failureOf(vm)
  assert.is(error.code, "CRYOVM_VCPU_FAILED")
  assert.equal([error.reason, error.vcpu, error.exit], ["tripleFault", 0, "KVM_EXIT_SHUTDOWN"])
  assert.is(error.registers["rip"], 0x100000n)
  assert.is(vm.state, "failed")
  assert.is((await refusal(vm.resume())).from, "Failed")
})

kvmTest("readers of the console come to an end when the machine fails, and when it has stopped", async () => {
  const read = async (vm: MicroVm): Promise<string> => {
    let text = ""
    for await (const piece of vm.console.output) text += Buffer.from(piece).toString("latin1")
    return text
  }
  await using failing = await MicroVm.create(tripleFaultMachine)
  const early = read(failing)
  await failureOf(failing)
  assert.is(await early, "")
  assert.is(await read(failing), "")

  const stopping = await MicroVm.create(counterMachine)
  await stopping.start()
  assert.equal(await exchange(stopping, "ab"), [1, 2])
  await stopping.stop()
  assert.is(await read(stopping), "\x01\x02")
})

kvmTest("an instruction that KVM cannot emulate fails the machine and is shown", async () => {
  await using vm = await MicroVm.create(internalErrorMachine)
  const error = await failureOf(vm)
  assert.equal([error.reason, error.exit], ["internalError", "KVM_EXIT_INTERNAL_ERROR"])
  assert.is(error.registers["rbx"], 0x10000000n)
  assert.equal([...error.instructionBytes.slice(0, POPCNT.length)], POPCNT)
})

kvmTest(
  "a machine that is aborted while it is made leaves nothing, and one that is stopped answers no more",
  async () => {
    const reason = new Error("no longer wanted")
    const aborted = await MicroVm.create(counterMachine, { signal: AbortSignal.abort(reason) }).then(
      () => undefined,
      (error: Error) => error,
    )
    assert.is(aborted, reason)
    const vm = await MicroVm.create(counterMachine)
    await vm.stop()
    const error = await refusal(vm.console.write("x"))
    assert.is(error.code, "CRYOVM_DEVICE_CLOSED")
  },
)

test.run()
