import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MAX_INFLATE_BYTES } from "../../src/devices/balloon/inflate.ts"
import { Register } from "../../src/devices/virtio/constants.ts"
import {
  balloonSetup,
  DEFLATE,
  everything,
  HINT,
  INFLATE,
  PAGE,
  putPfns,
  REPORT,
  startDriver,
  startedBalloon,
} from "../support/balloon-driver.ts"
import { makeRingMemory } from "../support/ring-memory.ts"
import { turn } from "../support/virtio-driver.ts"

const NUM_PAGES = Register.Config
const ACTUAL = Register.Config + 4
const HINT_ID = Register.Config + 8
const PFNS = 0x8000

test("features and queues are those that were asked for, and no others", () => {
  for (let bits = 0; bits < 16; bits++) {
    const options = {
      statistics: (bits & 1) !== 0,
      deflateOnOom: (bits & 2) !== 0,
      freePageHinting: (bits & 4) !== 0,
      freePageReporting: (bits & 8) !== 0,
    }
    const { device, driver } = Effect.runSync(balloonSetup(options))
    driver.write(Register.DeviceFeaturesSel, 0)
    const expected =
      (options.statistics ? 2 : 0) |
      (options.deflateOnOom ? 4 : 0) |
      (options.freePageHinting ? 8 : 0) |
      (options.freePageReporting ? 32 : 0)
    assert.is(driver.read(Register.DeviceFeatures) & 0xffffff, expected)
    const queues = 2 + Number(options.statistics) + Number(options.freePageHinting) + Number(options.freePageReporting)
    assert.is(device.queueCount, queues)
    assert.is(driver.read(Register.DeviceID), 5)
    for (const refused of [1n, 16n]) {
      driver.negotiate((1n << 32n) | refused)
      assert.is(driver.status & 8, 0, "MUST_TELL_HOST and PAGE_POISON are not offered")
    }
  }
})

test("the hinting queue alone is served inside the driver's own write", () => {
  const { resources } = startedBalloon()
  assert.equal(resources.subscribed(), [0, 1, 2, 4])
  const without = startedBalloon({ ...everything, freePageHinting: false })
  assert.equal(without.resources.subscribed(), [0, 1, 2, 3])
})

test("pages of many buffers go by one discard, before any buffer comes back", () => {
  const setup = startedBalloon()
  const { device, driver, memory, queues, resources } = setup
  const inflate = queues[INFLATE]!
  memory.raw.fill(7, 0x10000)
  putPfns(memory, PFNS, [0x40, 0x42, 0x41])
  putPfns(memory, PFNS + 0x100, [0x30, 0x43, 0x40])
  inflate.add([{ address: PFNS, length: 12 }])
  inflate.add([
    { address: PFNS + 0x100, length: 4 },
    { address: PFNS + 0x104, length: 8 },
  ])
  const usedAtDiscard: number[] = []
  setup.onDiscard(() => usedAtDiscard.push(inflate.usedIndex))
  driver.notify(INFLATE)
  assert.equal(usedAtDiscard, [0], "one call, with nothing given back yet")
  assert.equal(inflate.takeUsed(), [
    { id: 0, length: 0 },
    { id: 1, length: 0 },
  ])
  for (let page = 0x10; page < 0x100; page++) {
    const wanted = [0x30, 0x40, 0x41, 0x42, 0x43].includes(page) ? 0 : 7
    assert.is(memory.raw[page * PAGE], wanted)
    assert.is(memory.raw[page * PAGE + PAGE - 1], wanted)
  }
  const { metrics } = device
  assert.equal(
    [metrics.inflateBuffers, metrics.inflatePages, metrics.inflateRanges, metrics.discardedBytes],
    [2, 6, 2, 5 * PAGE],
  )
  const told = resources.ranges.filter(({ length }) => length % PAGE === 0)
  assert.equal(told, [
    { address: 0x30 * PAGE, length: PAGE },
    { address: 0x40 * PAGE, length: 4 * PAGE },
  ])
})

test("every buffer comes back, however odd, and takes nothing with it", () => {
  const setup = startedBalloon(everything, makeRingMemory(0x200000))
  const { driver, memory, queues, device } = setup
  const inflate = queues[INFLATE]!
  memory.raw.fill(7, 0x100000)
  putPfns(memory, PFNS, [0x180, 0xffffffff, 0x1ff, 0x200])
  const odd = [
    [{ address: PFNS, length: 4, write: true }],
    [{ address: PFNS, length: 0 }],
    [{ address: PFNS, length: 7 }],
    [
      { address: PFNS, length: 2 },
      { address: PFNS + 2, length: 2 },
    ],
    [{ address: 0x10000, length: MAX_INFLATE_BYTES + 4 }],
  ]
  for (const buffers of odd) inflate.add(buffers)
  driver.notify(INFLATE)
  assert.is(inflate.takeUsed().length, odd.length)
  assert.is(device.metrics.oddBuffers, odd.length)
  assert.is(device.metrics.discardedBytes, 0)
  assert.ok(memory.raw.subarray(0x100000).every((byte) => byte === 7))
  inflate.add([{ address: PFNS, length: 16 }])
  driver.notify(INFLATE)
  assert.is(inflate.takeUsed().length, 1)
  assert.equal([device.metrics.discardedBytes, device.metrics.outsideBytes], [2 * PAGE, 2 * PAGE])
  assert.is(driver.status, 15)
})

test("more than a turn's worth of pages takes several, and all of it is done", async () => {
  const { driver, memory, queues, device } = startedBalloon(everything, makeRingMemory(0x100000))
  const inflate = queues[INFLATE]!
  for (let index = 0; index < 5; index++) inflate.add([{ address: 0x10000, length: MAX_INFLATE_BYTES }])
  memory.raw.fill(0x20, 0x10000, 0x20000)
  driver.notify(INFLATE)
  assert.is(inflate.takeUsed().length, 1)
  for (let turns = 0; turns < 6; turns++) await turn()
  assert.is(inflate.takeUsed().length, 4)
  assert.is(device.metrics.inflatePages, (5 * MAX_INFLATE_BYTES) / 4)
})

test("deflating only gives the buffers back", () => {
  const { driver, memory, queues, device } = startedBalloon()
  const before = memory.raw.slice(0x10000)
  putPfns(memory, PFNS, [0x30, 0x31])
  queues[DEFLATE]!.add([{ address: PFNS, length: 8 }])
  queues[DEFLATE]!.add([{ address: PFNS, length: 3 }])
  queues[DEFLATE]!.add([{ address: PFNS, length: 8, write: true }])
  driver.notify(DEFLATE)
  assert.equal(
    queues[DEFLATE]!.takeUsed().map(({ length }) => length),
    [0, 0, 0],
  )
  assert.equal([device.metrics.deflateBuffers, device.metrics.deflatePages, device.metrics.oddBuffers], [3, 2, 2])
  assert.equal(memory.raw.slice(0x10000), before)
})

test("the target waits for a driver, is told of to one that is there, and is not the guest's to change", () => {
  const setup = Effect.runSync(balloonSetup())
  const { device, driver, resources } = setup
  const { balloon } = device
  Effect.runSync(balloon.setTarget(0.5))
  assert.is(resources.pulses, 0)
  startDriver(setup)
  assert.is(driver.read(NUM_PAGES), 128)
  const generation = driver.read(Register.ConfigGeneration)
  Effect.runSync(balloon.setTarget(1))
  assert.is(driver.takeInterrupt(), 2)
  assert.is(driver.read(Register.ConfigGeneration), generation + 1)
  assert.is(driver.read(NUM_PAGES), 256)
  Effect.runSync(balloon.setTarget(1))
  assert.is(driver.takeInterrupt(), 0, "the same target is no news")
  driver.write(NUM_PAGES, 7)
  driver.write(HINT_ID, 7)
  for (let offset = 0; offset < 16; offset++) device.registers.write(Register.Config + offset, 1, 0xee)
  device.registers.write(Register.Config + 2, 4, 0xffffffff)
  assert.equal([driver.read(NUM_PAGES), driver.read(HINT_ID), Effect.runSync(balloon.target)], [256, 0, 1])
  assert.is(driver.read(ACTUAL), 0xeeeeffff)
  assert.is(device.metrics.configWritesIgnored, 14)
  driver.write(ACTUAL, 64)
  assert.is(Effect.runSync(balloon.actual), 0.25)
})

test("a target that cannot be is refused", () => {
  const { device } = Effect.runSync(balloonSetup())
  for (const mib of [-1, 1.0001, 1.25 + 1 / 512, 2, Number.NaN, Number.POSITIVE_INFINITY]) {
    const error = Effect.runSync(Effect.flip(device.balloon.setTarget(mib)))
    assert.equal([error._tag, error.code], ["BalloonTargetInvalid", "CRYOVM_BALLOON_TARGET_INVALID"])
    assert.is(Effect.runSync(Effect.flip(device.balloon.waitFor(mib)))._tag, "BalloonTargetInvalid")
  }
  for (const mib of [0, 1, 1 / 256]) Effect.runSync(device.balloon.setTarget(mib))
})

test("waiting ends when the guest is there, can be given up, and ends with the machine", async () => {
  const setup = startedBalloon()
  const { device, driver } = setup
  Effect.runSync(device.balloon.setTarget(0.5))
  const waits = [device.balloon.waitFor(), device.balloon.waitFor(0.25)].map((wait) => Effect.runFork(wait))
  driver.write(ACTUAL, 3)
  driver.write(ACTUAL, 64)
  await Effect.runPromise(Fiber.join(waits[1]!))
  assert.is(waits[0]!.pollUnsafe(), undefined)
  driver.write(ACTUAL, 128)
  await Effect.runPromise(Fiber.join(waits[0]!))
  await Effect.runPromise(device.balloon.waitFor())
  const given = Effect.runFork(device.balloon.waitFor(0))
  await Effect.runPromise(Fiber.interrupt(given))
  const left = Effect.runFork(Effect.flip(device.balloon.waitFor(0)))
  setup.close()
  assert.is((await Effect.runPromise(Fiber.join(left)))._tag, "DeviceClosed")
  assert.is(Effect.runSync(Effect.flip(device.balloon.setTarget(0)))._tag, "DeviceClosed")
})

test("a driver's reset takes what the guest gave and keeps what the host wants", () => {
  const setup = startedBalloon()
  const { device, driver } = setup
  Effect.runSync(device.balloon.setTarget(0.5))
  Effect.runSync(device.balloon.startHinting())
  driver.write(ACTUAL, 128)
  driver.write(Register.Status, 0)
  assert.equal([Effect.runSync(device.balloon.target), Effect.runSync(device.balloon.actual)], [0.5, 0])
  startDriver(setup)
  assert.equal([driver.read(NUM_PAGES), driver.read(ACTUAL), driver.read(HINT_ID)], [128, 0, 0])
  device.reset()
  assert.is(Effect.runSync(device.balloon.target), 0, "the machine's reset pin is power on")
})

test("every state can be watched", async () => {
  const { device, driver } = startedBalloon()
  const seen: number[] = []
  const watching = Effect.runFork(
    device.balloon.states.pipe(
      Stream.take(3),
      Stream.runForEach((state) => Effect.sync(() => seen.push(state.actualPages))),
    ),
  )
  await turn()
  await turn()
  driver.write(ACTUAL, 5)
  driver.write(ACTUAL, 6)
  await Effect.runPromise(Fiber.join(watching))
  assert.equal(seen, [0, 5, 6])
})

test("free page reporting discards whole pages inside memory and gives every buffer back", () => {
  const { device, driver, memory, queues } = startedBalloon()
  memory.raw.fill(7, 0x10000)
  const report = queues[REPORT]!
  report.add([
    { address: 0x20000, length: 2 * PAGE, write: true },
    { address: 0x23010, length: 2 * PAGE, write: true },
  ])
  report.add([{ address: 0x22000, length: PAGE, write: true }])
  report.add([{ address: 0x30000, length: PAGE - 1, write: true }])
  report.add([{ address: 0x40000, length: PAGE }])
  driver.notify(REPORT)
  assert.is(report.takeUsed().length, 4)
  for (let page = 0x10; page < 0x100; page++) {
    assert.is(memory.raw[page * PAGE], [0x20, 0x21, 0x22, 0x24].includes(page) ? 0 : 7)
  }
  const { metrics } = device
  assert.equal(
    [metrics.reportedRanges, metrics.reportedTrimmedBytes, metrics.oddBuffers, metrics.discardedBytes],
    [4, PAGE + PAGE - 1, 1, 4 * PAGE],
  )
})

const hinted = () => {
  const setup = startedBalloon()
  const { driver, memory, queues } = setup
  const queue = queues[HINT]!
  memory.raw.fill(7, 0x10000)
  const command = (id: number) => {
    memory.view.setUint32(0x9000, id, true)
    queue.add([{ address: 0x9000, length: 4 }])
    driver.notify(HINT)
  }
  const hint = (page: number) => {
    queue.add([{ address: page * PAGE, length: PAGE, write: true }])
    driver.notify(HINT)
    return memory.raw[page * PAGE] === 0
  }
  return { ...setup, queue, command, hint }
}

test("hinting runs have the ids 2, 1, 3 and only their own pages count", () => {
  const { device, driver, command, hint, queue } = hinted()
  const { balloon } = device
  assert.not(hint(0x20), "before any run")
  Effect.runSync(balloon.startHinting())
  assert.is(driver.read(HINT_ID), 2)
  assert.is(driver.takeInterrupt() & 2, 2)
  assert.not(hint(0x21), "before the driver announced it")
  command(2)
  assert.ok(hint(0x22), "done when the driver's write returns")
  Effect.runSync(balloon.stopHinting)
  assert.is(driver.read(HINT_ID), 1)
  assert.not(hint(0x23), "after the stop")
  Effect.runSync(balloon.startHinting())
  assert.is(driver.read(HINT_ID), 3)
  assert.not(hint(0x24), "of the run before")
  command(0)
  assert.is(driver.read(HINT_ID), 3, "the end of the run before is not the end of this one")
  command(3)
  assert.ok(hint(0x25))
  command(0)
  assert.is(driver.read(HINT_ID), 1, "acknowledged")
  assert.not(hint(0x26))
  assert.is(queue.takeUsed().length, 11)
  assert.equal([device.metrics.hintedRanges, device.metrics.hintedIgnored, device.metrics.hintCommands], [2, 5, 4])
})

test("a run that is not acknowledged keeps the guest's pages until the host says so", () => {
  const { device, driver, command, hint } = hinted()
  Effect.runSync(device.balloon.startHinting({ acknowledge: false }))
  command(2)
  assert.ok(hint(0x20))
  command(0)
  assert.is(driver.read(HINT_ID), 2)
  assert.not(hint(0x21))
  Effect.runSync(device.balloon.stopHinting)
  assert.is(driver.read(HINT_ID), 1)
})

test("hinting needs the configuration, a driver, and a driver that knows of it", () => {
  const plain = startedBalloon({})
  const missing = Effect.runSync(Effect.flip(plain.device.balloon.startHinting()))
  assert.equal([missing._tag, "missingIn" in missing && missing.missingIn], ["BalloonFeatureMissing", "configuration"])
  const setup = Effect.runSync(balloonSetup())
  assert.is(Effect.runSync(Effect.flip(setup.device.balloon.stopHinting))._tag, "BalloonInactive")
  setup.driver.start(setup.device.queueCount, 16)
  const declined = Effect.runSync(Effect.flip(setup.device.balloon.startHinting()))
  assert.equal([declined._tag, "missingIn" in declined && declined.missingIn], ["BalloonFeatureMissing", "driver"])
})

test("while quiesced nothing of the guest is touched, and the resume makes up for it", () => {
  const { device, driver, memory, queues, resources, close } = startedBalloon()
  memory.raw.fill(7, 0x10000)
  putPfns(memory, PFNS, [0x30])
  queues[INFLATE]!.add([{ address: PFNS, length: 4 }])
  Effect.runSync(device.quiesce)
  const before = memory.raw.slice()
  const pulses = resources.pulses
  driver.notify(INFLATE)
  Effect.runSync(device.balloon.setTarget(0.5))
  Effect.runSync(device.balloon.setPollingInterval(1))
  assert.equal(memory.raw, before)
  assert.is(resources.pulses, pulses)
  device.kick()
  assert.is(memory.raw[0x30 * PAGE], 0)
  assert.is(queues[INFLATE]!.takeUsed().length, 1)
  assert.is(driver.takeInterrupt(), 3)
  close()
})

test.run()
