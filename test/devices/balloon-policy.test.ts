import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { test } from "uvu"
import * as assert from "uvu/assert"
import {
  decide,
  initialMemory,
  type KeepAvailableOptions,
  keepAvailable,
  type PolicyBalloon,
  policyRules,
} from "../../src/devices/balloon/policy.ts"

const MIB = 2 ** 20
const MEMORY = 256
const options: KeepAvailableOptions = { lowMib: 40, highMib: 80, stepMib: 32, everySeconds: 1, backOffSeconds: 10 }
const rules = Effect.runSync(policyRules(options, MEMORY))

test("between the marks nothing moves, above the balloon grows to the middle by steps, below it shrinks at once", () => {
  const fresh = initialMemory(rules)
  const at = (availableMib: number, targetMib: number, actualMib = targetMib) =>
    decide(rules, fresh, { now: 0, availableMib, targetMib, actualMib }).targetMib
  for (const available of [40, 60, 80]) assert.is(at(available, 50), undefined)
  assert.is(at(81, 50), 71)
  assert.is(at(200, 50), 82, "a step at most")
  assert.is(at(200, 170), 176, "the bound")
  assert.is(at(200, 176), undefined)
  assert.is(at(39, 50), 29)
  assert.is(at(0, 50), 0)
  assert.is(at(10, 0), undefined, "there is nothing to give back")
  assert.is(at(39, 50, 30), 9, "from what the guest really gave")
  assert.is(at(200, 50, 49), undefined, "a guest that does not follow is not asked for more")
})

test("a guest that runs short soon after the balloon grew is left alone for longer every time", () => {
  let memory = initialMemory(rules)
  let now = 0
  const look = (availableMib: number, targetMib: number) => {
    const decision = decide(rules, memory, { now, availableMib, targetMib, actualMib: targetMib })
    memory = decision.memory
    return decision.targetMib
  }
  for (const backOff of [10, 20, 40, 80, 160, 160]) {
    assert.is(look(100, 50), 82)
    now += 1000
    assert.is(look(30, 82), 52)
    assert.is(look(30, 52), 22, "still short, which is the same time")
    now += backOff * 1000 - 1
    assert.is(look(100, 50), undefined, `still backing off after ${backOff} s`)
    now += 1
  }
  // A long quiet time makes it forget.
  now += 1000_000
  assert.is(look(100, 50), 82)
  now += 1000
  assert.is(look(30, 82), 52)
  now += 10_000
  assert.is(look(100, 50), 82)
})

test("marks and bounds that contradict each other are refused, all at once", () => {
  const refused = (wrong: Partial<KeepAvailableOptions>) =>
    Effect.runSync(Effect.flip(policyRules({ ...options, ...wrong }, MEMORY))).message
  assert.match(refused({ lowMib: 80 }), /lowMib < highMib <= 256/)
  assert.match(refused({ highMib: 257 }), /highMib/)
  assert.match(refused({ lowMib: Number.NaN }), /lowMib/)
  assert.match(refused({ minTargetMib: 10, maxTargetMib: 5 }), /minTargetMib <= maxTargetMib/)
  const many = refused({ stepMib: 0, everySeconds: 0, backOffSeconds: -1 })
  assert.match(many, /stepMib.*everySeconds.*backOffSeconds/)
})

/** A guest that follows at once, with programs that use `used` MiB. */
const fakeGuest = () => {
  const state = { target: 0, used: 50, looks: 0, targets: [] as number[] }
  const balloon: PolicyBalloon = {
    target: Effect.sync(() => state.target),
    actual: Effect.sync(() => state.target),
    statistics: () =>
      Effect.sync(() => {
        state.looks++
        const availableMemory = (MEMORY - state.target - state.used) * MIB
        return { availableMemory, readings: state.looks, unknown: new Map() }
      }),
    setTarget: (mib) =>
      Effect.sync(() => {
        state.target = mib
        state.targets.push(mib)
      }),
  }
  return { state, balloon }
}

test("the policy finds the middle, follows the guest's need, and ends when it is interrupted", () =>
  Effect.runPromise(
    Effect.gen(function* () {
      const { state, balloon } = fakeGuest()
      const moves: number[] = []
      const policy = keepAvailable(balloon, MEMORY, { ...options, onMove: ({ toMib }) => moves.push(toMib) })
      const fiber = yield* Effect.forkChild(policy, { startImmediately: true })
      assert.is(state.looks, 1, "it looks at once")
      yield* TestClock.adjust("10 seconds")
      assert.equal([state.looks, state.target], [11, 128])
      assert.equal(state.targets, [32, 64, 96, 128], "by steps, until it is between the marks")
      state.used = 100
      yield* TestClock.adjust("1 second")
      assert.is(state.target, 96, "all at once")
      state.used = 50
      yield* TestClock.adjust("9 seconds")
      assert.is(state.target, 96)
      yield* TestClock.adjust("30 seconds")
      assert.is(state.target, 128)
      assert.equal(moves, state.targets)
      yield* Fiber.interrupt(fiber)
      const looks = state.looks
      yield* TestClock.adjust("10 seconds")
      assert.is(state.looks, looks)
    }).pipe(Effect.provide(TestClock.layer())),
  ))

test.run()
