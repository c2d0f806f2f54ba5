// time limit: 600 s
/** What inflating does to the host's memory and to the guest's; resident memory is what /proc/self/smaps counts. */
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { balloonGuest, balloonMachine, fill, inflateTo, meminfo } from "../support/balloon-guest.ts"
import { guestRss, KIB, MIB } from "../support/guest-rss.ts"
import { kvmTest } from "../support/kvm.ts"

/** Within a tenth: the two are not read at the same instant, and count pages of the file apart. */
const assertAgrees = (vm: MicroVm): void => {
  const [counted, told] = [guestRss(), vm.residentBytes]
  assert.ok(Math.abs(counted - told) < Math.max(counted, told) / 10 + MIB, `smaps ${counted}, residentBytes ${told}`)
}

kvmTest("resident memory falls with 200 of 256 MiB inflated, and as far again after deflating and a fill", async () => {
  await using vm = await balloonGuest()
  await fill(vm, 100)
  const filled = guestRss()
  assertAgrees(vm)
  await inflateTo(vm, 200)
  const first = guestRss()
  assertAgrees(vm)
  assert.ok(filled - first > 80 * MIB, `${filled} to ${first}`)
  await inflateTo(vm, 0)
  await fill(vm, 32)
  await inflateTo(vm, 200)
  const second = guestRss()
  assert.ok(second - first <= 15_000 * KIB, `${first}, then ${second}`)
})

kvmTest("64 MiB inflated take at least 85 % of that from the guest's available memory", async () => {
  await using vm = await balloonGuest()
  const before = await meminfo(vm, "MemAvailable")
  await inflateTo(vm, 64)
  const after = await meminfo(vm, "MemAvailable")
  assert.ok(before - after >= 0.85 * 64_000 * KIB, `${before} to ${after}`)
})

kvmTest("inflating, deflating, filling and inflating again ends where it was", async () => {
  await using vm = await balloonGuest()
  await fill(vm, 100)
  const first = guestRss()
  await inflateTo(vm, 200)
  const second = guestRss()
  await inflateTo(vm, 0)
  await fill(vm, 100)
  const third = guestRss()
  await inflateTo(vm, 200)
  const fourth = guestRss()
  const readings = `${[first, second, third, fourth].map((bytes) => Math.round(bytes / KIB)).join(", ")} KiB`
  assert.ok(second < first - 60 * MIB, readings)
  assert.ok(third > second + 60 * MIB, readings)
  assert.ok(third - first <= 20_000 * KIB, readings)
  assert.ok(Math.abs(fourth - second) <= 20_000 * KIB, readings)
})

kvmTest("a newly booted guest with its caches dropped has at least 10,000 KiB to give", async () => {
  await using vm = await MicroVm.create(balloonMachine())
  await vm.start()
  await vm.guest.ready({ timeoutMs: 150_000 })
  // The embedded guest has touched little more than its kernel when it is up: files that come and go stand for what a
  // distribution does while it boots.
  const work = await vm.guest.exec("dd if=/dev/zero of=/tmp/boot bs=64k count=384 2>/dev/null && rm /tmp/boot")
  assert.is(work.exitCode, 0)
  await vm.guest.dropCaches({ compact: true })
  const before = guestRss()
  await inflateTo(vm, 200)
  const after = guestRss()
  assert.ok(before - after >= 10_000 * KIB, `${before} to ${after}`)
})

test.run()
