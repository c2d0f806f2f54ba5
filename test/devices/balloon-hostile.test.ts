/** A guest that gives the balloon anything: it may stop the device, but not make it throw, hang or leave its memory. */
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { Register } from "../../src/devices/virtio/constants.ts"
import {
  type BalloonSetup,
  balloonSetup,
  DEFLATE,
  everything,
  HINT,
  INFLATE,
  PAGE,
  REPORT,
  STATS,
  startDriver,
} from "../support/balloon-driver.ts"
import { makeRingMemory } from "../support/ring-memory.ts"
import { turn } from "../support/virtio-driver.ts"

const SIZE = 0x40000
const PAGES = SIZE / PAGE
const DATA = 0x8000
const QUEUES = [INFLATE, DEFLATE, STATS, HINT, REPORT]

/** What a hostile guest does next. */
type Act =
  | {
      readonly kind: "buffer"
      readonly queue: number
      readonly at: number
      readonly lengths: readonly number[]
      readonly write: boolean
    }
  | { readonly kind: "loop" | "outside" | "jump"; readonly queue: number; readonly value: number }
  | { readonly kind: "pages"; readonly pfns: readonly number[] }
  | { readonly kind: "config"; readonly at: number; readonly value: number }
  | { readonly kind: "words"; readonly at: number; readonly words: readonly number[] }
  | {
      readonly kind: "host"
      readonly what: "target" | "hint" | "stop" | "poll" | "reset" | "save"
      readonly value: number
    }

const queue = fc.constantFrom(...QUEUES)
const word = fc.oneof(fc.nat(PAGES + 4), fc.constantFrom(0, 1, 2, 3, 0xffffffff, 0x80000000), fc.nat(0xffffffff))
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("buffer" as const),
      queue,
      at: fc.nat(SIZE - DATA - 1).map((at) => DATA + at),
      lengths: fc.array(fc.oneof(fc.constantFrom(0, 4, 8, 10, 1024, PAGE, 5 * PAGE, 0xffffffff), fc.nat(3000)), {
        minLength: 1,
        maxLength: 4,
      }),
      write: fc.boolean(),
    }),
  },
  fc.record({
    kind: fc.constantFrom("loop" as const, "outside" as const, "jump" as const),
    queue,
    value: fc.nat(0xffff),
  }),
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("pages" as const),
      pfns: fc.array(word, { minLength: 1, maxLength: 32 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("config" as const), at: fc.nat(20), value: word }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("words" as const),
      at: fc.nat((SIZE - DATA) / 4 - 64).map((at) => DATA + 4 * at),
      words: fc.array(word, { minLength: 1, maxLength: 64 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("host" as const),
      what: fc.constantFrom("target", "hint", "stop", "poll", "reset", "save"),
      value: fc.nat(PAGES),
    }),
  },
)

const perform = (setup: BalloonSetup, next: Act): void => {
  const { driver, device, memory } = setup
  const balloon = device.balloon
  switch (next.kind) {
    case "buffer":
      driver.queues[next.queue]!.add(
        next.lengths.map((length, index) => ({
          address: next.at + 16 * index,
          // Mostly inside, so that most of it is served.
          length: length === 0xffffffff ? length : Math.min(length, SIZE - next.at - 16 * index),
          write: next.write,
        })),
      )
      driver.notify(next.queue)
      return
    case "loop": {
      const ring = driver.queues[next.queue]!
      ring.descriptor(ring.descriptors, DATA, 4, 1, 0)
      ring.offer(0)
      driver.notify(next.queue)
      return
    }
    case "outside":
      driver.queues[next.queue]!.add([{ address: SIZE + next.value, length: 8 }])
      driver.notify(next.queue)
      return
    case "jump":
      driver.queues[next.queue]!.setAvailableIndex(next.value)
      driver.notify(next.queue)
      return
    case "pages":
      for (const [index, pfn] of next.pfns.entries()) memory.view.setUint32(DATA + 4 * index, pfn, true)
      driver.queues[INFLATE]!.add([{ address: DATA, length: 4 * next.pfns.length }])
      driver.notify(INFLATE)
      return
    case "config":
      device.registers.write(Register.Config + next.at, 4, next.value)
      return
    case "words":
      for (const [index, value] of next.words.entries()) memory.view.setUint32(next.at + 4 * index, value, true)
      return
    case "host": {
      const effects = {
        target: balloon.setTarget(next.value / 256),
        hint: balloon.startHinting(),
        stop: balloon.stopHinting,
        poll: balloon.setPollingInterval(next.value),
        reset: Effect.sync(() => startDriver(setup)),
        save: Effect.sync(() => device.component.decode(device.component.encode(device.save()))),
      }
      Effect.runSync(Effect.ignore(effects[next.what] as Effect.Effect<unknown, unknown>))
    }
  }
}

let served = 0
let discarded = 0
test("anything at all, on all queues at once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 40 }), async (acts) => {
      // What lies after the guest's memory in this process is not its memory.
      const memory = makeRingMemory(SIZE, 0, 0x10000000)
      const beyond = memory.bytes(0x10000000, SIZE)!
      beyond.fill(0x5a)
      const setup = Effect.runSync(balloonSetup({ ...everything, statisticsIntervalMs: 1000 }, memory))
      startDriver(setup)
      let target = 0
      const began = performance.now()
      for (const next of acts) {
        perform(setup, next)
        if (next.kind === "host" && next.what === "target") target = next.value
        assert.is(setup.driver.read(Register.Config), target, "the target is the host's")
        assert.ok([0, 11, 15, 15 | 64].includes(setup.driver.status))
      }
      for (let turns = 0; turns < 3; turns++) await turn()
      setup.device.kick()
      assert.ok(performance.now() - began < 2000)
      const { metrics } = setup.device
      served += metrics.inflateBuffers + metrics.deflateBuffers + metrics.statisticsReadings + metrics.reportedRanges
      discarded += metrics.discardedBytes
      assert.is(metrics.failedBytes, 0, "the addon is never given what it refuses")
      const saved = setup.device.save()
      assert.equal(setup.device.component.decode(setup.device.component.encode(saved)), saved)
      setup.close()
    }),
    { numRuns: 400 },
  )
  assert.ok(served > 200, `${served} buffers were served`)
  assert.ok(discarded > 50 * PAGE, `${discarded} bytes were discarded`)
})

test("every buffer of a ring that is well-formed comes back, whatever is in it", async () => {
  const buffer = fc.record({
    address: fc.nat(SIZE - DATA - 1).map((at) => DATA + at),
    length: fc.oneof(fc.nat(3000), fc.constantFrom(0, 4, 1024, 3 * PAGE)),
    write: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(queue, buffer), { maxLength: 60 }), fc.array(word), async (given, words) => {
      const setup = Effect.runSync(balloonSetup(everything, makeRingMemory(SIZE)))
      const { driver, memory } = setup
      startDriver(setup)
      for (const [index, value] of words.entries()) memory.view.setUint32(DATA + 4 * index, value, true)
      const counts = new Map<number, number>()
      for (const [at, { address, length, write }] of given) {
        // Pages of the rings themselves are the guest's to give away, but then nothing can be counted in them.
        if (at === INFLATE && words.some((pfn) => pfn < DATA / PAGE)) continue
        if ((counts.get(at) ?? 0) === 16) continue
        driver.queues[at]!.add([{ address, length: Math.min(length, SIZE - address), write }])
        counts.set(at, (counts.get(at) ?? 0) + 1)
      }
      for (const at of QUEUES) driver.notify(at)
      for (let turns = 0; turns < 3; turns++) await turn()
      for (const [at, count] of counts) {
        // The device keeps one buffer of the statistics queue.
        assert.is(driver.queues[at]!.takeUsed().length, at === STATS ? Math.max(count - 1, 0) : count, `queue ${at}`)
      }
      assert.is(driver.status, 15)
      setup.close()
    }),
    { numRuns: 200 },
  )
})

test.run()
