// time limit: 300 s
/** What happens when a guest needs more than the balloon has left it. */
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { kvmTest } from "../support/kvm.ts"
import { warmGuest } from "../support/warm-guest.ts"

const fillBeyond = async (deflateOnOom: boolean) => {
  const dir = await warmGuest({ memoryMib: 128, devices: { balloon: { deflateOnOom } } })
  await using vm = await MicroVm.restore(dir, { resume: true })
  const balloon = vm.balloon!
  await balloon.setTarget(72)
  await balloon.waitFor(72, { signal: AbortSignal.timeout(60_000) })
  const { signal } = await vm.guest.fillMemory(60, { huge: true })
  return { signal, actual: balloon.actual, target: balloon.target }
}

kvmTest("with deflateOnOom the balloon gives way", async () => {
  const { signal, actual, target } = await fillBeyond(true)
  assert.is(signal, 0, "the program has what it needs")
  assert.ok(actual < 72 && actual > 0, `${actual} MiB are left in the balloon`)
  assert.is(target, 72)
})

kvmTest("without it the guest ends the program, and the balloon stays", async () => {
  const { signal, actual } = await fillBeyond(false)
  assert.equal([signal, actual], [9, 72])
})

test.run()
