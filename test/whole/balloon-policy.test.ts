// time limit: 600 s
import { test } from "uvu"
import * as assert from "uvu/assert"
import { balloonGuest, balloonOf, meminfo } from "../support/balloon-guest.ts"
import { MIB } from "../support/guest-rss.ts"
import { kvmTest } from "../support/kvm.ts"

kvmTest(
  "the policy takes what the guest has to spare, gives back what it comes to need, and ends when told",
  async () => {
    await using vm = await balloonGuest()
    const balloon = balloonOf(vm)
    const controller = new AbortController()
    const reason = new Error("enough")
    const ended = balloon
      .keepAvailable({
        lowMib: 48,
        highMib: 96,
        stepMib: 48,
        everySeconds: 0.5,
        backOffSeconds: 2,
        signal: controller.signal,
      })
      .catch((error: unknown) => error)

    const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
      for (let waited = 0; waited < 240; waited++) {
        if (await holds()) return
        await vm.guest.sleep(500)
      }
      throw new Error(`${what} was not reached; the balloon has ${balloon.actual} of ${balloon.target} MiB`)
    }
    const available = async (): Promise<number> => (await meminfo(vm, "MemAvailable")) / MIB

    await until("less than the high mark", async () => (await available()) < 100)
    const grown = balloon.actual
    assert.ok(grown > 80, `the balloon has grown to ${grown} MiB`)

    const held = await vm.guest.fillMemory(56, { huge: true, hold: true })
    assert.is(held.signal, 0)
    await until("more than the low mark", async () => balloon.actual < grown && (await available()) > 40)

    controller.abort(reason)
    assert.is(await ended, reason)
    await vm.guest.releaseMemory(held.handle)
  },
)

test.run()
