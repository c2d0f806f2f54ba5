// time limit: 600 s
import { test } from "uvu"
import * as assert from "uvu/assert"
import { balloonGuest, balloonOf, GUEST_MIB, inflateTo, meminfo } from "../support/balloon-guest.ts"
import { MIB } from "../support/guest-rss.ts"
import { kvmTest } from "../support/kvm.ts"

/** Leaves the guest some 40 MiB, then has a program take more than that. */
const squeeze = async (deflateOnOom: boolean) => {
  await using vm = await balloonGuest({ deflateOnOom })
  const available = (await meminfo(vm, "MemAvailable")) / MIB
  const target = Math.floor(available - 40)
  assert.ok(target > 100 && target < GUEST_MIB)
  await inflateTo(vm, target)
  const left = Math.ceil((await meminfo(vm, "MemAvailable")) / MIB)
  const filled = await vm.guest.fillMemory(left + 16, { huge: true })
  return {
    target,
    signal: filled.signal,
    actual: balloonOf(vm).actual,
    answers: (await vm.guest.exec("echo yes")).stdout,
  }
}

kvmTest("with deflate_on_oom a program gets more memory than is left, and the balloon shrinks for it", async () => {
  const { target, signal, actual, answers } = await squeeze(true)
  assert.is(signal, 0)
  assert.ok(actual < target, `${actual} of ${target}`)
  assert.is(answers, "yes\n")
})

kvmTest("without it the guest's OOM killer ends the program, and the balloon stays", async () => {
  const { target, signal, actual, answers } = await squeeze(false)
  assert.is(signal, 9)
  assert.is(actual, target)
  assert.is(answers, "yes\n")
})

test.run()
