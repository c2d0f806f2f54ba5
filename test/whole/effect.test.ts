// time limit: 300 s
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { inspectSnapshot, MicroVm, MicroVmService } from "../../src/effect.ts"
import { kvmTest } from "../support/kvm.ts"
import { holdings } from "../support/process.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { haltMachine, tripleFaultMachine } from "../support/tiny-kernel.ts"
import { warmGuest } from "../support/warm-guest.ts"

kvmTest("a machine lives as long as its scope, and its states are a stream", async () => {
  using scratch = temporaryDirectory()
  const before = await holdings()
  const program = Effect.gen(function* () {
    const vm = yield* MicroVm.create(haltMachine)
    const states = yield* Effect.forkChild(Stream.runCollect(vm.states.pipe(Stream.take(3))), {
      startImmediately: true,
    })
    yield* vm.start
    yield* vm.pause
    yield* vm.snapshot({ dir: join(scratch.path, "snapshot") })
    const { machine } = yield* inspectSnapshot(join(scratch.path, "snapshot"))
    return { seen: (yield* Fiber.join(states)).map((state) => state._tag), memoryBytes: machine.memoryBytes }
  })
  const result = await Effect.runPromise(Effect.scoped(program))
  assert.equal(result, { seen: ["Configured", "Running", "Paused"], memoryBytes: 32 * 2 ** 20 })
  const after = await holdings()
  assert.equal(
    [after.liveVms, after.liveMemories, after.liveThreads],
    [before.liveVms, before.liveMemories, before.liveThreads],
  )
})

kvmTest("failures are typed, and told apart by their tags", async () => {
  const program = Effect.gen(function* () {
    const vm = yield* MicroVm.create(tripleFaultMachine)
    const tooEarly = yield* vm.resume.pipe(Effect.catchTag("WrongState", (error) => Effect.succeed(error.from)))
    yield* vm.start
    const failure = yield* vm.stopped.pipe(Effect.catchTag("VcpuFailed", (error) => Effect.succeed(error.reason)))
    return [tooEarly, failure]
  })
  assert.equal(await Effect.runPromise(Effect.scoped(program)), ["Configured", "tripleFault"])
})

kvmTest("a machine is a service of a layer", async () => {
  const dir = await warmGuest()
  const program = Effect.gen(function* () {
    const vm = yield* MicroVmService
    return (yield* vm.guest.exec("echo by a layer")).stdout
  })
  const provided = program.pipe(Effect.provide(MicroVmService.restored(dir, { resume: true })))
  assert.is(await Effect.runPromise(provided), "by a layer\n")
})

test.run()
