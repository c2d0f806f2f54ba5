import * as Effect from "effect/Effect"
import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { type BalloonV1, balloonComponent, toV1, toV2 } from "../../src/devices/balloon/state.ts"
import { Register } from "../../src/devices/virtio/constants.ts"
import { StateDowngradeLossy } from "../../src/state/component.ts"
import {
  type BalloonSetup,
  balloonSetup,
  everything,
  HINT,
  INFLATE,
  PAGE,
  putPfns,
  putStatistics,
  STATS,
  startedBalloon,
} from "../support/balloon-driver.ts"

/** What the first release wrote of a balloon in the middle of everything: inflating, a held buffer, a hinting run. */
const FIRST = [
  "g6ZkZXZpY2WGq2FjdHVhbFBhZ2VzA65oZWxkU3RhdGlzdGljcweraGludENvbW1hbmQFqnN0YXRpc3RpY3OSgqN0YWcEpXZhbHVl",
  "0wAAAAAAAAB7gqN0YWcPpXZhbHVlz4AAAAAAAAAAtHN0YXRpc3RpY3NJbnRlcnZhbE1zzROIq3RhcmdldFBhZ2VzCKZxdWV1ZXOV",
  "ia9kZXNjcmlwdG9yVGFibGXTAAAAAAAAEACqZGV2aWNlQXJlYdMAAAAAAAASAKpkcml2ZXJBcmVh0wAAAAAAABEAp21heFNpemXN",
  "AQCpbmV4dEF2YWlsBahuZXh0VXNlZAWlcmVhZHnDrXNpZ25hbGxlZFVzZWQFpHNpemUQia9kZXNjcmlwdG9yVGFibGXTAAAAAAAA",
  "IACqZGV2aWNlQXJlYdMAAAAAAAAiAKpkcml2ZXJBcmVh0wAAAAAAACEAp21heFNpemXNAQCpbmV4dEF2YWlsAqhuZXh0VXNlZAKl",
  "cmVhZHnDrXNpZ25hbGxlZFVzZWQCpHNpemUQia9kZXNjcmlwdG9yVGFibGXTAAAAAAAAMACqZGV2aWNlQXJlYdMAAAAAAAAyAKpk",
  "cml2ZXJBcmVh0wAAAAAAADEAp21heFNpemUQqW5leHRBdmFpbASobmV4dFVzZWQDpXJlYWR5w61zaWduYWxsZWRVc2VkA6RzaXpl",
  "EImvZGVzY3JpcHRvclRhYmxl0wAAAAAAAEAAqmRldmljZUFyZWHTAAAAAAAAQgCqZHJpdmVyQXJlYdMAAAAAAABBAKdtYXhTaXpl",
  "zQEAqW5leHRBdmFpbACobmV4dFVzZWQApXJlYWR5w61zaWduYWxsZWRVc2VkAKRzaXplEImvZGVzY3JpcHRvclRhYmxl0wAAAAAA",
  "AFAAqmRldmljZUFyZWHTAAAAAAAAUgCqZHJpdmVyQXJlYdMAAAAAAABRAKdtYXhTaXplQKluZXh0QXZhaWwAqG5leHRVc2VkAKVy",
  "ZWFkecOtc2lnbmFsbGVkVXNlZACkc2l6ZRCpdHJhbnNwb3J0iLBjb25maWdHZW5lcmF0aW9uA7RkZXZpY2VGZWF0dXJlc1NlbGVj",
  "dACuZHJpdmVyRmVhdHVyZXPTAAAAAQAAACq0ZHJpdmVyRmVhdHVyZXNTZWxlY3QAr2ludGVycnVwdFN0YXR1cwCrcXVldWVTZWxl",
  "Y3QEsnNoYXJlZE1lbW9yeVNlbGVjdACmc3RhdHVzDw==",
].join("")

const first = () => ({ version: 1, payload: new Uint8Array(Buffer.from(FIRST, "base64")) })

test("a state of version 1 is read as it was meant", () => {
  const { device, queues, transport } = balloonComponent.decode(first())
  assert.equal(device, {
    targetPages: 8,
    actualPages: 3,
    statisticsIntervalMs: 5000,
    statistics: [
      { tag: 4, value: 123n },
      { tag: 15, value: 1n << 63n },
    ],
    heldStatistics: 7,
    hintCommand: 5,
    unknownStatistics: [],
    lastHintCommand: 5,
  })
  assert.equal([queues.length, transport.status], [5, 15])
  assert.equal(balloonComponent.encode(balloonComponent.decode(first()), 1), first(), "and written back the same")
})

test("a state of version 1 goes on in a machine of today", () => {
  const setup = Effect.runSync(balloonSetup(everything))
  Effect.runSync(setup.device.restore(balloonComponent.decode(first())))
  const { driver, memory, device } = setup
  assert.is(driver.read(Register.Config), 8)
  assert.is(driver.read(Register.Config + 8), 1, "the hinting run is over")
  const used = 0x3000 + 512
  setup.device.kick()
  assert.equal([memory.view.getUint16(used + 2, true), memory.view.getUint32(used + 4 + 3 * 8, true)], [4, 7])
  Effect.runSync(device.balloon.startHinting())
  assert.is(driver.read(Register.Config + 8), 6)
  setup.close()
})

test("version 2 is written as version 1 where nothing is lost, and refused where something would be", () => {
  const older: fc.Arbitrary<BalloonV1> = fc.record(
    {
      targetPages: fc.nat(1000),
      actualPages: fc.nat(1000),
      statisticsIntervalMs: fc.nat(100000),
      statistics: fc.constant([]),
      heldStatistics: fc.option(fc.nat(255)),
      hintCommand: fc.oneof(fc.constantFrom(0, 1, 2), fc.nat(0xffffffff)),
    },
    { noNullPrototype: true },
  )
  fc.assert(fc.property(older, (state) => assert.equal(toV1(toV2(state)), state)))
  fc.assert(
    fc.property(older, fc.nat(20), fc.boolean(), (state, lastHintCommand, hasUnknown) => {
      const newer = { ...toV2(state), lastHintCommand, unknownStatistics: hasUnknown ? [{ tag: 99, value: 1n }] : [] }
      const back = toV1(newer)
      if (back !== undefined) assert.equal(toV2(back), newer)
      else assert.not.equal(toV2(state), newer)
    }),
  )
  const full = balloonComponent.decode(first())
  for (const lossy of [
    { ...full.device, unknownStatistics: [{ tag: 99, value: 1n }] },
    { ...full.device, hintCommand: 1, lastHintCommand: 6 },
  ]) {
    assert.throws(
      () => balloonComponent.encode({ ...full, device: lossy }, 1),
      (error: unknown) => error instanceof StateDowngradeLossy,
    )
    assert.equal(balloonComponent.decode(balloonComponent.encode({ ...full, device: lossy })).device, lossy)
  }
})

test("what contradicts itself or this machine is refused, and changes nothing", () => {
  const setup = startedBalloon()
  Effect.runSync(setup.device.balloon.setTarget(0.25))
  const before = setup.device.save()
  const saved = balloonComponent.decode(first())
  const bad = [
    { ...saved.device, targetPages: 257 },
    { ...saved.device, lastHintCommand: 4 },
    { ...saved.device, hintCommand: 0, lastHintCommand: 0 },
  ]
  for (const device of bad) {
    const error = Effect.runSync(Effect.flip(setup.device.restore({ ...saved, device })))
    assert.is(error.code, "CRYOVM_DEVICE_STATE_REFUSED")
    assert.equal(setup.device.save(), before)
  }
  const held = { ...saved, device: { ...saved.device, heldStatistics: 16 } }
  Effect.runSync(setup.device.restore(held))
  assert.is(setup.device.save().device.heldStatistics, null, "a buffer that the queue cannot have is not held")
  setup.close()
})

/** The same memory, in another process. */
const moved = (from: BalloonSetup): BalloonSetup => {
  Effect.runSync(from.device.quiesce)
  const saved = balloonComponent.decode(balloonComponent.encode(from.device.save()))
  const to = Effect.runSync(balloonSetup(everything, from.memory))
  Effect.runSync(to.device.restore(saved))
  assert.equal(to.device.save().queues, saved.queues)
  from.close()
  return to
}

test("an inflation goes on where it was, held statistics stay held, and a run of hinting is over", () => {
  const one = startedBalloon()
  const { memory, queues, driver } = one
  const inflate = queues[INFLATE]!
  const stats = queues[STATS]!
  memory.raw.fill(7, 0x10000)
  Effect.runSync(one.device.balloon.setTarget(0.5))
  Effect.runSync(one.device.balloon.startHinting())
  memory.view.setUint32(0x9000, 2, true)
  queues[HINT]!.add([{ address: 0x9000, length: 4 }])
  driver.notify(HINT)
  stats.add([
    {
      address: 0x9100,
      length: putStatistics(memory, 0x9100, [
        [4, 9n],
        [77, 8n],
      ]),
    },
  ])
  driver.notify(STATS)
  putPfns(memory, 0x8000, [0x30])
  inflate.add([{ address: 0x8000, length: 4 }])
  driver.notify(INFLATE)
  driver.write(Register.Config + 4, 1)
  // The guest has offered more, and was stopped before its notification came through.
  putPfns(memory, 0x8010, [0x31])
  inflate.add([{ address: 0x8010, length: 4 }])

  const two = moved(one)
  assert.is(memory.raw[0x31 * PAGE], 7)
  assert.is(stats.takeUsed().length, 0)
  two.device.kick()
  assert.is(memory.raw[0x31 * PAGE], 0)
  assert.equal(inflate.takeUsed().length, 2)
  assert.equal([Effect.runSync(two.device.balloon.target), Effect.runSync(two.device.balloon.actual)], [0.5, 1 / 256])
  const latest = Effect.runSync(two.device.balloon.statistics())
  assert.equal([latest.freeMemory, [...latest.unknown]], [9, [[77, 8n]]])
  assert.is(stats.takeUsed().length, 0, "there is no polling, so nobody asked")
  Effect.runSync(two.device.balloon.setPollingInterval(1))
  assert.is(stats.takeUsed().length, 1)
  assert.is(two.driver.read(Register.Config + 8), 1)
  assert.ok((two.driver.takeInterrupt() & 2) !== 0, "the driver is told that the run is over")
  Effect.runSync(two.device.balloon.startHinting())
  assert.is(two.driver.read(Register.Config + 8), 3)
  two.close()
})

test("polling goes on after a restore, and begins with a fresh reading", () => {
  const one = startedBalloon({ ...everything, statisticsIntervalMs: 60_000 })
  const stats = one.queues[STATS]!
  stats.add([{ address: 0x9100, length: putStatistics(one.memory, 0x9100, [[4, 9n]]) }])
  one.driver.notify(STATS)
  const two = moved(one)
  assert.is(two.device.save().device.statisticsIntervalMs, 60_000)
  assert.is(stats.takeUsed().length, 0)
  two.device.kick()
  assert.is(stats.takeUsed().length, 1)
  two.close()
})

test("a target without a driver survives as well", () => {
  const setup = Effect.runSync(balloonSetup())
  Effect.runSync(setup.device.balloon.setTarget(0.75))
  const two = moved(setup)
  assert.is(two.driver.read(Register.Config), 192)
})

test.run()
