// time limit: 300 s
// runs alone
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { exchange } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { type Holdings, holdings, residentSet } from "../support/process.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { counterMachine } from "../support/tiny-kernel.ts"
import { warmGuest } from "../support/warm-guest.ts"

const MIB = 2 ** 20

const assertSame = (after: Holdings, before: Holdings): void => {
  assert.equal(after, before)
}

kvmTest(
  "fifty machines one after another, each booted, saved, restored and stopped, leave nothing behind",
  async () => {
    using scratch = temporaryDirectory()
    const live = async (round: number): Promise<void> => {
      const dir = join(scratch.path, String(round))
      {
        await using vm = await MicroVm.create(counterMachine)
        await vm.start()
        assert.equal(await exchange(vm, "abc"), [1, 2, 3])
        await vm.snapshot({ dir })
      }
      await using copy = await MicroVm.restore(dir, { resume: true })
      assert.is((await exchange(copy, "d")).at(-1), 4)
    }
    // The first rounds load code and open what stays open.
    for (let round = 0; round < 5; round++) await live(round)
    const before = await holdings()
    const residentBefore = residentSet()
    for (let round = 5; round < 55; round++) await live(round)
    assertSame(await holdings(), before)
    const growth = residentSet() - residentBefore
    assert.ok(growth < 48 * MIB, `resident set grew by ${growth} bytes over 50 machines`)
  },
)

kvmTest("eight Linux guests at once in one process, and then none", async () => {
  const dir = await warmGuest()
  const round = async (): Promise<void> => {
    const guests = await Promise.all(Array.from({ length: 8 }, () => MicroVm.restore(dir, { resume: true })))
    const answers = await Promise.all(guests.map((vm, index) => vm.guest.exec(`echo guest ${index}`)))
    assert.equal(
      answers.map((answer) => answer.stdout),
      guests.map((_, index) => `guest ${index}\n`),
    )
    await Promise.all(guests.map((vm) => vm.stop()))
  }
  await round()
  const before = await holdings()
  await round()
  assertSame(await holdings(), before)
})

test.run()
