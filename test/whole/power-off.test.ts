// time limit: 300 s
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { kvmTest } from "../support/kvm.ts"
import { warmGuest } from "../support/warm-guest.ts"

for (const command of ["reboot", "reboot -f", "poweroff", "poweroff -f"]) {
  kvmTest(`${command} inside the guest stops the machine`, async () => {
    await using vm = await MicroVm.restore(await warmGuest({ vcpus: 2 }), { resume: true })
    const stopped = vm.stopped()
    // The program may end before the machine does, or go down with it.
    const answered = vm.guest.exec(command).then(
      ({ exitCode }) => exitCode,
      (error: { code: string }) => error.code,
    )
    await stopped
    assert.is(vm.state, "stopped")
    assert.ok([0, "CRYOVM_GUEST_UNAVAILABLE"].includes(await answered), String(await answered))
  })
}

kvmTest("signals that end the guest where process 1 gets them only end the program elsewhere", async () => {
  await using vm = await MicroVm.restore(await warmGuest(), { resume: true })
  for (const [name, number] of [
    ["TERM", 15],
    ["USR2", 12],
  ] as const) {
    assert.is((await vm.guest.exec(`kill -${name} $$`)).signal, number)
  }
  assert.is((await vm.guest.exec("echo alive")).stdout, "alive\n")
})

test.run()
