// time limit: 600 s
/** A Linux guest rolled back: its files, its counter, its agent, and what it takes of this process. */
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { balloonOf } from "../support/balloon-guest.ts"
import { kvmTest } from "../support/kvm.ts"
import { holdings, residentSet } from "../support/process.ts"
import { failingKvm, failureOf } from "../support/roll-back.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { warmGuest } from "../support/warm-guest.ts"

const MIB = 2 ** 20

const running = async (): Promise<{ readonly vm: MicroVm; readonly dir: string }> => {
  const dir = await warmGuest()
  return { vm: await MicroVm.restore(dir, { resume: true }), dir }
}

kvmTest("its files and its counter are those of the snapshot again", async () => {
  const { vm, dir } = await running()
  await using _ = vm
  const first = await vm.guest.counter()
  await vm.guest.writeFile("/tmp/mark", "written")
  await vm.guest.sleep(5000)
  const later = await vm.guest.counter()
  assert.ok(later.value > first.value + 10n)
  await vm.restoreFrom(dir)
  const again = await vm.guest.counter()
  assert.is(again.bootNonce, first.bootNonce)
  assert.ok(again.value < later.value, `${first.value}, ${later.value}, then ${again.value}`)
  assert.is(
    (await vm.guest.exec("cat /tmp/mark 2>&1")).stdout,
    "cat: can't open '/tmp/mark': No such file or directory\n",
  )
})

kvmTest("a snapshot of its own takes back what was done since, and only that", async () => {
  using scratch = temporaryDirectory()
  const { vm } = await running()
  await using _ = vm
  await vm.guest.writeFile("/tmp/before", "kept")
  const { dir } = await vm.snapshot({ dir: join(scratch.path, "snap") })
  await vm.guest.writeFile("/tmp/after", "gone")
  await vm.restoreFrom(dir)
  assert.is((await vm.guest.exec("cat /tmp/before; ls /tmp/after 2>/dev/null")).stdout, "kept")
})

kvmTest("requests under way fail and say why, later ones are answered by the new guest", async () => {
  const { vm, dir } = await running()
  await using _ = vm
  const { guest } = vm
  const inFlight = [failureOf(guest.exec("sleep 60")), failureOf(guest.sleep(60_000))]
  await guest.exec("true")
  await vm.restoreFrom(dir)
  for (const error of await Promise.all(inFlight)) {
    assert.is(error.code, "CRYOVM_GUEST_UNAVAILABLE")
    assert.is(error.message, `the machine was rolled back to ${dir}`)
  }
  assert.is((await guest.exec("echo new")).stdout, "new\n")
})

kvmTest("a failed rollback loses nothing: what runs in the guest goes on and answers", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await running()
  await using _ = vm
  const answer = vm.guest.exec("echo begun; sleep 3; echo done")
  await vm.guest.exec("true")
  assert.is((await failureOf(vm.restoreFrom(join(scratch.path, "missing")))).code, "CRYOVM_SNAPSHOT_NOT_FOUND")
  for (const step of ["setMemoryRegion", "setVcpu", "setVm", "resume"] as const) {
    using _failing = failingKvm(step)
    assert.is((await failureOf(vm.restoreFrom(dir))).code, "CRYOVM_KVM")
  }
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error("enough")), 5)
  const hold = () => new Promise(() => {})
  await failureOf(vm.restoreFrom(dir, { signal: controller.signal, afterRestore: hold }))
  assert.is((await answer).stdout, "begun\ndone\n")
})

kvmTest("the console is the new guest's, and those who read it go on", async () => {
  const { vm, dir } = await running()
  await using _ = vm
  let said = ""
  const reading = (async () => {
    for await (const piece of vm.console.output) said += Buffer.from(piece).toString()
  })()
  await vm.guest.exec("echo first > /dev/ttyS0")
  await vm.restoreFrom(dir)
  await vm.guest.exec("echo second > /dev/ttyS0")
  await vm.stop()
  await reading
  assert.match(said, /first.*second/s)
})

kvmTest("a balloon that is kept gives the new guest's memory back", async () => {
  const dir = await warmGuest({ devices: { balloon: {} } })
  await using vm = await MicroVm.restore(dir, { resume: true })
  const balloon = balloonOf(vm)
  const limit = { signal: AbortSignal.timeout(120_000) }
  await balloon.setTarget(8)
  await balloon.waitFor(8, limit)
  await vm.restoreFrom(dir)
  assert.equal([balloon.target, balloon.actual], [0, 0])
  await balloon.setTarget(4)
  await balloon.waitFor(4, limit)
  assert.ok(balloon.metrics.inflatePages <= (4 * MIB) / 4096, "counted by the new machine's device")
})

kvmTest("twenty rollbacks in a row take no more of this process than one", async () => {
  const { vm, dir } = await running()
  await using _ = vm
  const live = async (): Promise<void> => {
    await vm.guest.fillMemory(8, { huge: true })
    await vm.restoreFrom(dir)
    await vm.guest.counter()
  }
  for (let round = 0; round < 3; round++) await live()
  const before = await holdings()
  const residentBefore = residentSet()
  for (let round = 0; round < 20; round++) await live()
  assert.equal(await holdings(), before)
  const growth = residentSet() - residentBefore
  assert.ok(growth < 48 * MIB, `resident set grew by ${growth} bytes over 20 rollbacks`)
})

test.run()
