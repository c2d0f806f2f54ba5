// time limit: 400 s
/** What is done to a machine that came back, before anybody else has it. */
import { join } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { test } from "uvu"
import * as assert from "uvu/assert"
import * as Effects from "../../src/effect.ts"
import { type AfterRestoreFailed, MicroVm, type VcpuFailed } from "../../src/index.ts"
import { countsTo } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { holdings } from "../support/process.ts"
import { counterAtFour, failureOf, snapshotOf } from "../support/roll-back.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { counterMachine, lateFaultMachine, resetMachine } from "../support/tiny-kernel.ts"
import { warmGuest } from "../support/warm-guest.ts"

const reason = new Error("no new keys")
const refuse = (): Promise<never> => Promise.reject(reason)

kvmTest("it has the machine that is given, running with `resume` and paused without", async () => {
  using scratch = temporaryDirectory()
  const dir = await snapshotOf(counterMachine, scratch.path)
  for (const resume of [true, false]) {
    const given: MicroVm[] = []
    const states: string[] = []
    await using vm = await MicroVm.restore(dir, {
      resume,
      afterRestore: async (restored) => {
        given.push(restored)
        await Promise.resolve()
        states.push(restored.state)
      },
    })
    assert.is(given[0], vm)
    assert.equal(states, [resume ? "running" : "paused"])
  }
})

kvmTest("a rollback waits for it too, with the same object", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await using _ = vm
  const states: string[] = []
  const afterRestore = async (restored: MicroVm): Promise<void> => {
    assert.is(restored, vm)
    states.push(restored.state)
    if (restored.state === "running") await countsTo(restored, 3)
  }
  await vm.restoreFrom(dir, { afterRestore })
  await countsTo(vm, 4)
  await vm.restoreFrom(dir, { afterRestore, resume: false })
  assert.equal(states, ["running", "paused"])
})

kvmTest("where it fails, a restore fails with its error as the cause and leaves nothing", async () => {
  using scratch = temporaryDirectory()
  const dir = await snapshotOf(counterMachine, scratch.path)
  const before = await holdings()
  const throwing = (): never => {
    throw reason
  }
  for (const afterRestore of [refuse, throwing]) {
    const error = await failureOf<AfterRestoreFailed>(MicroVm.restore(dir, { resume: true, afterRestore }))
    assert.equal([error.code, error.dir], ["CRYOVM_AFTER_RESTORE_FAILED", dir])
    assert.is(error.cause, reason)
    assert.match(error.message, /no new keys/)
  }
  const controller = new AbortController()
  const abort = (): Promise<never> => {
    controller.abort(reason)
    return new Promise(() => {})
  }
  assert.is(await failureOf(MicroVm.restore(dir, { signal: controller.signal, afterRestore: abort })), reason)
  assert.equal(await holdings(), before)
})

kvmTest("where it fails, a rollback leaves the machine of before as it was", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await using _ = vm
  const before = await holdings()
  const afterRestore = async (restored: MicroVm): Promise<void> => {
    await countsTo(restored, 3)
    await refuse()
  }
  assert.is((await failureOf<AfterRestoreFailed>(vm.restoreFrom(dir, { afterRestore }))).cause, reason)
  assert.is(vm.state, "running")
  await countsTo(vm, 5)
  await vm.pause()
  await failureOf(vm.restoreFrom(dir, { afterRestore, resume: true }))
  assert.is(vm.state, "paused")
  await vm.resume()
  await countsTo(vm, 6)
  assert.equal(await holdings(), before)
})

kvmTest("a machine that fails or resets itself meanwhile does not stay", async () => {
  using scratch = temporaryDirectory()
  const faulty = await snapshotOf(lateFaultMachine, scratch.path, "faulty")
  const resetting = await snapshotOf(resetMachine, scratch.path, "resetting")
  const { vm } = await counterAtFour(scratch.path)
  await using _ = vm
  const provoke = async (restored: MicroVm): Promise<void> => {
    await restored.console.write("!")
    await new Promise(() => {})
  }
  const options = { resume: true, afterRestore: provoke }
  const before = await holdings()
  for (const attempt of [() => MicroVm.restore(faulty, options), () => vm.restoreFrom(faulty, options)]) {
    const error = await failureOf<AfterRestoreFailed>(attempt())
    assert.is(error.code, "CRYOVM_AFTER_RESTORE_FAILED")
    assert.is((error.cause as VcpuFailed).reason, "tripleFault")
  }
  for (const attempt of [() => MicroVm.restore(resetting, options), () => vm.restoreFrom(resetting, options)]) {
    const error = await failureOf<AfterRestoreFailed>(attempt())
    assert.is(error.code, "CRYOVM_AFTER_RESTORE_FAILED")
    assert.match(error.message, /reset itself/)
  }
  assert.equal(await holdings(), before)
  assert.is(vm.state, "running")
  await countsTo(vm, 5)
})

kvmTest("meanwhile the machine that came back can be paused, saved and resumed, by anybody", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await using _ = vm
  const saved = join(scratch.path, "saved")
  await vm.restoreFrom(dir, {
    afterRestore: async (restored) => {
      await countsTo(restored, 3)
      await restored.pause()
      await vm.snapshot({ dir: saved })
      await vm.resume()
      assert.is((await failureOf(vm.restoreFrom(dir))).code, "CRYOVM_ROLLBACK_UNDER_WAY")
    },
  })
  await countsTo(vm, 4)
  await vm.restoreFrom(saved)
  await countsTo(vm, 4)
})

kvmTest("stopped meanwhile, both machines end", async () => {
  const before = await holdings()
  for (const after of [async () => {}, () => new Promise(() => {})]) {
    using scratch = temporaryDirectory()
    const { vm, dir } = await counterAtFour(scratch.path)
    const stopped = vm.stopped()
    const afterRestore = async (restored: MicroVm): Promise<void> => {
      await restored.stop()
      await after()
    }
    const error = await failureOf(vm.restoreFrom(dir, { afterRestore }))
    assert.is(error.code, "CRYOVM_AFTER_RESTORE_FAILED")
    assert.match(error.message, /stopped/)
    await stopped
    assert.is(vm.state, "stopped")
    assert.is((await failureOf(vm.restoreFrom(dir))).code, "CRYOVM_WRONG_STATE")
  }
  assert.equal(await holdings(), before)
})

class Refused extends Data.TaggedError("Refused")<{ readonly message: string }> {}

kvmTest("as Effects: its failure is the cause, its machine the one that is given", async () => {
  using scratch = temporaryDirectory()
  const { vm, dir } = await counterAtFour(scratch.path)
  await vm.stop()
  const refused = new Refused({ message: "as an effect" })
  const program = Effect.gen(function* () {
    const vm = yield* Effects.MicroVm.restore(dir, {
      resume: true,
      afterRestore: (restored) => Effect.flatMap(restored.state, (state) => Effect.sync(() => states.push(state._tag))),
    })
    const error = yield* Effect.flip(vm.restoreFrom(dir, { afterRestore: () => refused }))
    return [error._tag, error._tag === "AfterRestoreFailed" && error.cause, (yield* vm.state)._tag]
  })
  const states: string[] = []
  assert.equal(await Effect.runPromise(Effect.scoped(program)), ["AfterRestoreFailed", refused, "Running"])
  assert.equal(states, ["Running"])
})

kvmTest("it may speak with the guest, of a machine that runs", async () => {
  const dir = await warmGuest()
  const mark = (text: string) => (vm: MicroVm) => vm.guest.writeFile("/tmp/mark", text)
  await using vm = await MicroVm.restore(dir, { resume: true, afterRestore: mark("restored") })
  assert.is((await vm.guest.exec("cat /tmp/mark")).stdout, "restored")
  const old = vm.guest.exec("sleep 2; cat /tmp/mark")
  const afterRestore = async (restored: MicroVm): Promise<void> => {
    await mark("thrown away")(restored)
    await refuse()
  }
  await failureOf(vm.restoreFrom(dir, { afterRestore }))
  assert.is((await old).stdout, "restored", "the guest of before lost nothing")
  await vm.restoreFrom(dir, { afterRestore: mark("rolled back") })
  assert.is((await vm.guest.exec("cat /tmp/mark")).stdout, "rolled back")
})

kvmTest("what a guest draws after two rollbacks to one snapshot differs, once it takes new keys", async () => {
  const dir = await warmGuest()
  await using vm = await MicroVm.restore(dir)
  const drawn: string[] = []
  for (let round = 0; round < 2; round++) {
    await vm.restoreFrom(dir, { resume: true, afterRestore: (restored) => restored.guest.reseed() })
    drawn.push((await vm.guest.exec("head -c 32 /dev/urandom | md5sum")).stdout)
  }
  assert.is.not(drawn[0], drawn[1])
})

test.run()
