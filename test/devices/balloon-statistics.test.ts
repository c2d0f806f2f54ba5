import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MAX_STATISTICS_BYTES, MAX_UNKNOWN_TAGS, statisticNames } from "../../src/devices/balloon/statistics.ts"
import { Register } from "../../src/devices/virtio/constants.ts"
import {
  type BalloonSetup,
  balloonSetup,
  everything,
  putStatistics,
  STATS,
  startDriver,
  startedBalloon,
} from "../support/balloon-driver.ts"
import { turn } from "../support/virtio-driver.ts"

const AT = 0x8000

/** The guest's half: gives a buffer, and another each time one comes back. */
const guest = (setup: BalloonSetup) => {
  const queue = setup.driver.queues[STATS]!
  let freeMemory = 100n
  const give = () => {
    const length = putStatistics(setup.memory, AT, [[4, freeMemory++]])
    queue.add([{ address: AT, length }])
    setup.driver.notify(STATS)
  }
  give()
  return {
    /** Answers what came back. Returns how many. */
    answer: () => {
      const requests = queue.takeUsed().length
      for (let index = 0; index < requests; index++) give()
      return requests
    },
    requests: () => queue.takeUsed().length,
    give,
  }
}

const underTestClock = <A>(test: Effect.Effect<A, unknown>): Promise<A> =>
  Effect.runPromise(Effect.provide(test as Effect.Effect<A>, TestClock.layer()))

test("all sixteen tags have their names; unknown ones are kept and counted; what is absent keeps its value", () => {
  const { device, driver, memory, queues } = startedBalloon()
  const give = (values: readonly (readonly [number, bigint])[]) => {
    queues[STATS]!.add([{ address: AT, length: putStatistics(memory, AT, values) }])
    driver.notify(STATS)
    return Effect.runSync(device.balloon.statistics())
  }
  const all = give(statisticNames.map((_, tag) => [tag, BigInt(1000 + tag)] as const))
  for (const [tag, name] of statisticNames.entries()) assert.is(all[name], 1000 + tag)
  const more = give([
    [16, 5n],
    [0xffff, 0xffffffffffffffffn],
    [4, 7n],
  ])
  assert.equal(
    [...more.unknown],
    [
      [16, 5n],
      [0xffff, 0xffffffffffffffffn],
    ],
  )
  assert.equal([more.freeMemory, more.totalMemory, more.readings], [7, 1005, 2])
  give(Array.from({ length: 100 }, (_, index) => [100 + index, 1n] as const))
  assert.is(Effect.runSync(device.balloon.statistics()).unknown.size, MAX_UNKNOWN_TAGS)
  assert.is(device.metrics.statisticsUnknownTags, 102)
})

test("a buffer is held until it is wanted; a second one brings the first back", () => {
  const { device, driver, memory, queues } = startedBalloon()
  const queue = queues[STATS]!
  const length = putStatistics(memory, AT, [[4, 1n]])
  queue.add([{ address: AT, length }])
  driver.notify(STATS)
  assert.equal(queue.takeUsed(), [])
  queue.add([{ address: AT, length }])
  driver.notify(STATS)
  assert.equal(queue.takeUsed(), [{ id: 0, length: 0 }])
  assert.is(device.metrics.statisticsSurplus, 1)
})

test("buffers that are no statistics are held and come back like any other", () => {
  const { device, driver, memory, queues } = startedBalloon()
  const queue = queues[STATS]!
  putStatistics(memory, AT, [
    [4, 1n],
    [5, 2n],
  ])
  const odd = [
    [{ address: AT, length: MAX_STATISTICS_BYTES + 10 }],
    [{ address: AT, length: 9 }],
    [{ address: AT, length: 0 }],
    [{ address: AT, length: 10, write: true }],
    [
      { address: AT, length: 13 },
      { address: AT + 13, length: 6 },
    ],
  ]
  for (const buffers of odd) {
    queue.add(buffers)
    driver.notify(STATS)
  }
  assert.is(queue.takeUsed().length, odd.length - 1)
  assert.is(device.metrics.statisticsMalformed, odd.length)
  const latest = Effect.runSync(device.balloon.statistics())
  assert.equal([latest.freeMemory, latest.totalMemory, latest.readings], [1, undefined, 1])
  assert.is(driver.status, 15)
})

test("the interval asks again and again, and nothing before its time", () =>
  underTestClock(
    Effect.gen(function* () {
      const setup = yield* balloonSetup({ ...everything, statisticsIntervalMs: 5000 })
      startDriver(setup)
      const side = guest(setup)
      yield* TestClock.adjust("4999 millis")
      assert.is(side.answer(), 0)
      yield* TestClock.adjust("1 millis")
      assert.is(side.answer(), 1)
      assert.is((yield* setup.device.balloon.statistics()).freeMemory, 101)
      for (let count = 0; count < 3; count++) {
        yield* TestClock.adjust("5 seconds")
        assert.is(side.answer(), 1)
      }
      assert.is(setup.device.metrics.statisticsRequests, 4)
      // A guest that does not answer is not asked twice.
      yield* TestClock.adjust("5 seconds")
      assert.is(side.requests(), 1)
      yield* TestClock.adjust("60 seconds")
      assert.is(side.requests(), 0)
      side.give()
      yield* TestClock.adjust("5 seconds")
      assert.is(side.answer(), 1)
      setup.close()
      yield* TestClock.adjust("60 seconds")
      assert.is(side.requests(), 0)
    }),
  ))

test("another interval asks at once and sets the new rhythm; the same one is no news; 0 is never", () =>
  underTestClock(
    Effect.gen(function* () {
      const setup = yield* balloonSetup()
      const { balloon } = setup.device
      startDriver(setup)
      const side = guest(setup)
      yield* balloon.setPollingInterval(0)
      yield* TestClock.adjust("1 hour")
      assert.is(side.answer(), 0, "off from the start")
      yield* balloon.setPollingInterval(10)
      assert.is(side.answer(), 1, "0 to 10")
      yield* TestClock.adjust("9 seconds")
      yield* balloon.setPollingInterval(10)
      assert.is(side.answer(), 0)
      yield* TestClock.adjust("1 second")
      assert.is(side.answer(), 1)
      yield* TestClock.adjust("6 seconds")
      yield* balloon.setPollingInterval(60)
      assert.is(side.answer(), 1, "10 to 60")
      yield* TestClock.adjust("59 seconds")
      assert.is(side.answer(), 0)
      yield* TestClock.adjust("1 second")
      assert.is(side.answer(), 1)
      yield* balloon.setPollingInterval(0)
      yield* TestClock.adjust("1 hour")
      assert.is(side.answer(), 0, "60 to 0")
      yield* balloon.setPollingInterval(0.5)
      assert.is(side.answer(), 1)
      yield* TestClock.adjust("500 millis")
      assert.is(side.answer(), 1)
      for (const seconds of [-1, 0.05, 65536, Number.NaN]) {
        assert.is((yield* Effect.flip(balloon.setPollingInterval(seconds)))._tag, "BalloonIntervalInvalid")
      }
      setup.close()
    }),
  ))

test("a reset drops the held buffer and the statistics, and stops the clock until a driver is back", () =>
  underTestClock(
    Effect.gen(function* () {
      const setup = yield* balloonSetup({ ...everything, statisticsIntervalMs: 1000 })
      startDriver(setup)
      guest(setup)
      const old = setup.driver.queues[STATS]!
      setup.driver.write(Register.Status, 0)
      yield* TestClock.adjust("10 seconds")
      assert.is(old.usedIndex, 0)
      const waiting = yield* Effect.forkChild(setup.device.balloon.statistics(), { startImmediately: true })
      assert.is(waiting.pollUnsafe(), undefined)
      setup.memory.raw.fill(0, 0x1000, 0x4000)
      startDriver(setup)
      const side = guest(setup)
      assert.is((yield* Fiber.join(waiting)).freeMemory, 100)
      yield* TestClock.adjust("1 second")
      assert.is(side.answer(), 1)
      setup.close()
    }),
  ))

test("a request of a paused machine is made when it resumes, and the clock does not wait", () =>
  underTestClock(
    Effect.gen(function* () {
      const setup = yield* balloonSetup({ ...everything, statisticsIntervalMs: 1000 })
      startDriver(setup)
      const side = guest(setup)
      yield* setup.device.quiesce
      const before = setup.memory.raw.slice()
      yield* TestClock.adjust("10 seconds")
      assert.equal(setup.memory.raw, before)
      setup.device.kick()
      assert.is(side.answer(), 1)
      yield* TestClock.adjust("1 second")
      assert.is(side.answer(), 1)
      setup.close()
    }),
  ))

test("the first statistics are waited for, and new ones where they are wanted", async () => {
  const setup = Effect.runSync(balloonSetup())
  const { balloon } = setup.device
  const first = Effect.runFork(balloon.statistics())
  const seen: number[] = []
  const stream = Effect.runFork(
    Stream.runForEach(balloon.statisticsStream, (each) => Effect.sync(() => seen.push(each.freeMemory ?? -1))),
  )
  await turn()
  startDriver(setup)
  const side = guest(setup)
  assert.is((await Effect.runPromise(Fiber.join(first))).freeMemory, 100)
  const fresh = Effect.runFork(balloon.statistics({ refresh: true }))
  await turn()
  assert.is(fresh.pollUnsafe(), undefined)
  assert.is(side.answer(), 1)
  assert.is((await Effect.runPromise(Fiber.join(fresh))).freeMemory, 101)
  setup.close()
  await Effect.runPromise(Fiber.join(stream))
  assert.equal(seen, [100, 101])
  assert.is((await Effect.runPromise(Effect.flip(balloon.statistics())))._tag, "DeviceClosed")
})

test("statistics that cannot come are refused", () => {
  const without = startedBalloon({ statistics: false })
  const { balloon } = without.device
  assert.is(Effect.runSync(Effect.flip(balloon.statistics()))._tag, "BalloonFeatureMissing")
  assert.is(Effect.runSync(Effect.flip(balloon.setPollingInterval(1)))._tag, "BalloonFeatureMissing")
  Effect.runSync(balloon.setPollingInterval(0))
  const declining = Effect.runSync(balloonSetup())
  declining.driver.start(declining.device.queueCount, 16)
  const error = Effect.runSync(Effect.flip(declining.device.balloon.statistics()))
  assert.equal([error._tag, "missingIn" in error && error.missingIn], ["BalloonFeatureMissing", "driver"])
})

test.run()
