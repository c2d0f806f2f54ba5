import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { makeRng } from "../../src/devices/rng/model.ts"
import { rngComponent } from "../../src/devices/rng/state.ts"
import {
  ACKNOWLEDGE,
  DEVICE_NEEDS_RESET,
  DRIVER,
  FEATURES_OK,
  Register,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_VERSION_1,
} from "../../src/devices/virtio/constants.ts"
import { makeRingMemory } from "../support/ring-memory.ts"
import { ALL_FEATURES, fakeResources, VirtioDriver } from "../support/virtio-driver.ts"

const make = () => {
  const memory = makeRingMemory(0x20000)
  const resources = fakeResources(memory)
  const scope = Scope.makeUnsafe()
  const device = Effect.runSync(Scope.provide(makeRng(resources, { fill: (into) => void into.fill(0xaa) }), scope))
  return { memory, resources, device, scope, driver: new VirtioDriver(device.registers, memory) }
}

test("identification, and features by select", () => {
  const { driver } = make()
  assert.is(driver.read(Register.MagicValue), 0x74726976)
  assert.is(driver.read(Register.Version), 2)
  assert.is(driver.read(Register.DeviceID), 4)
  assert.is(driver.read(Register.VendorID), 0x4f595243)
  const words = [0, 1, 2, 0xffffffff].map((select) => {
    driver.write(Register.DeviceFeaturesSel, select)
    return driver.read(Register.DeviceFeatures)
  })
  assert.equal(words, [0x30000000, 1, 0, 0])
  driver.write(Register.QueueSel, 1)
  assert.is(driver.read(Register.QueueNumMax), 0)
  driver.write(Register.QueueSel, 0)
  assert.is(driver.read(Register.QueueNumMax), 256)
  for (const register of [Register.SHMLenLow, Register.SHMLenHigh, Register.SHMBaseLow, Register.SHMBaseHigh]) {
    assert.is(driver.read(register), 0xffffffff)
  }
  assert.is(driver.read(Register.QueueReset), 0)
})

test("Linux's way to DRIVER_OK, a request, and its interrupt", () => {
  const { driver, resources, memory, device } = make()
  driver.start(1, 16)
  assert.is(driver.status, 15)
  assert.equal(resources.subscribed(), [0])
  const queue = driver.queues[0]!
  const head = queue.add([{ address: 0x8000, length: 100, write: true }])
  resources.fire(0)
  assert.equal(queue.takeUsed(), [{ id: head, length: 100 }])
  assert.ok(memory.raw.subarray(0x8000, 0x8064).every((byte) => byte === 0xaa))
  assert.is(memory.raw[0x8064], 0)
  assert.is(resources.pulses, 1)
  assert.is(driver.takeInterrupt(), 1)
  assert.is(driver.read(Register.InterruptStatus), 0)
  // The same by a plain register write.
  queue.add([{ address: 0x9000, length: 5, write: true }])
  queue.usedEvent = 1
  driver.notify(0)
  assert.is(queue.takeUsed().length, 1)
  assert.is(device.transportMetrics.notifications, 2)
  assert.ok(resources.ranges.some((range) => range.address === 0x9000 && range.length === 5))
  assert.ok(resources.ranges.some((range) => range.address === queue.used))
})

test("features that were not offered, or without VERSION_1, do not get FEATURES_OK", () => {
  for (const wanted of [VIRTIO_F_EVENT_IDX, VIRTIO_F_VERSION_1 | 1n, VIRTIO_F_VERSION_1 | (1n << 40n)]) {
    const { driver, device } = make()
    driver.negotiate(wanted)
    assert.is(driver.status, ACKNOWLEDGE | DRIVER)
    assert.is(device.transportMetrics.featuresRefused, 1)
  }
})

test("writes at the wrong time are ignored and counted", () => {
  const { driver, device } = make()
  const { transportMetrics: metrics } = device
  driver.write(Register.DriverFeatures, 1)
  assert.is(metrics.ignoredWrites, 1, "features before DRIVER")
  driver.write(Register.QueueNum, 8)
  assert.is(metrics.ignoredWrites, 2, "queue before FEATURES_OK")
  driver.write(Register.QueueReady, 0)
  assert.is(metrics.ignoredWrites, 2, "what is so already is no offence: Linux does it")
  driver.write(Register.Status, 15 & ~1)
  assert.is(metrics.ignoredWrites, 3, "steps left out")
  driver.start(1, 8)
  driver.write(Register.DriverFeatures, 0)
  assert.is(metrics.ignoredWrites, 4, "features after FEATURES_OK")
  driver.write(Register.QueueNum, 16)
  driver.write(Register.QueueDescLow, 0)
  driver.write(Register.QueueReady, 0)
  assert.is(metrics.ignoredWrites, 7, "queue after DRIVER_OK")
  assert.is(driver.read(Register.QueueReady), 1)
  driver.write(Register.Status, 11)
  assert.is(driver.status, 15, "no bit can be cleared alone")
  driver.write(Register.MagicValue, 0)
  device.registers.write(Register.Config, 4, 1)
  assert.is(driver.status, 15)
  assert.is(device.registers.read(Register.Status, 1), 0)
  assert.is(device.registers.read(Register.Status + 1, 4), 0)
  device.registers.write(Register.Status, 2, 0)
  assert.is(metrics.badAccesses, 3)
  assert.is(driver.status, 15)
})

test("a queue that cannot be is refused when made ready", () => {
  const cases: [string, (driver: VirtioDriver) => void][] = [
    ["size 0", (driver) => driver.write(Register.QueueNum, 0)],
    ["size no power of two", (driver) => driver.write(Register.QueueNum, 24)],
    ["size too large", (driver) => driver.write(Register.QueueNum, 512)],
    ["huge size", (driver) => driver.write(Register.QueueNum, 0xffffffff)],
    ["table unaligned", (driver) => driver.write(Register.QueueDescLow, 0x1008)],
    ["available unaligned", (driver) => driver.write(Register.QueueDriverLow, 0x1801)],
    ["used unaligned", (driver) => driver.write(Register.QueueDeviceLow, 0x1802)],
    ["table outside", (driver) => driver.write(Register.QueueDescHigh, 1)],
    ["table at the end", (driver) => driver.write(Register.QueueDescLow, 0x1fff0)],
    ["available outside", (driver) => driver.write(Register.QueueDriverHigh, 0xffffffff)],
    ["used at the end", (driver) => driver.write(Register.QueueDeviceLow, 0x1fffc)],
  ]
  for (const [label, change] of cases) {
    const { driver, device, resources } = make()
    driver.negotiate()
    driver.setUpQueue(0, 0x1000, 16)
    driver.write(Register.QueueReady, 0)
    change(driver)
    driver.write(Register.QueueReady, 1)
    assert.is(driver.read(Register.QueueReady), 0, label)
    assert.is(driver.status, DEVICE_NEEDS_RESET | FEATURES_OK | DRIVER | ACKNOWLEDGE, label)
    assert.is(device.transportMetrics.faults, 1, label)
    assert.is(resources.pulses, 0, `${label}: no interrupt before DRIVER_OK`)
    driver.start(1, 16)
    assert.is(driver.status, 15, `${label}: a reset helps`)
  }
})

test("a malformed ring asks for a reset, with a configuration change interrupt", () => {
  const { driver, device, resources } = make()
  driver.start(1, 16)
  driver.queues[0]!.availableIndex = 17
  driver.notify(0)
  assert.is(driver.status, 15 | DEVICE_NEEDS_RESET)
  assert.is(driver.takeInterrupt(), 2)
  assert.is(resources.pulses, 1)
  assert.match(device.transportMetrics.lastFault, /available index/)
  driver.notify(0)
  assert.is(resources.pulses, 1, "nothing is served any more")
  assert.equal(resources.subscribed(), [])
  driver.write(Register.Status, 0)
  assert.is(driver.status, 0)
})

test("a reset by the driver forgets everything", () => {
  const { driver, device, resources } = make()
  driver.start(1, 16)
  driver.queues[0]!.add([{ address: 0x8000, length: 1, write: true }])
  driver.notify(0)
  driver.write(Register.Status, 0)
  assert.equal(device.save(), make().device.save())
  assert.equal(resources.subscribed(), [])
  resources.fire(0)
  driver.notify(0)
})

test("status transitions can be watched", async () => {
  const { driver, device } = make()
  const seen = Effect.runPromise(
    SubscriptionRef.changes(device.status).pipe(
      Stream.map((status) => status._tag),
      Stream.take(6),
      Stream.runCollect,
    ),
  )
  await new Promise((resolve) => setTimeout(resolve, 5))
  driver.start(1, 16)
  driver.write(Register.Status, 0)
  assert.equal(await seen, ["Reset", "Acknowledge", "Driver", "FeaturesOk", "DriverOk", "Reset"])
})

test("save, restore and save again are equal, in every state", () => {
  const prepare: ((driver: VirtioDriver) => void)[] = [
    () => {},
    (driver) => driver.write(Register.Status, 1),
    (driver) => driver.negotiate(VIRTIO_F_EVENT_IDX),
    (driver) => driver.negotiate(),
    (driver) => {
      driver.negotiate()
      driver.setUpQueue(0, 0x1000, 16)
    },
    (driver) => driver.start(1, 16),
    (driver) => {
      driver.start(1, 16, ALL_FEATURES & ~VIRTIO_F_EVENT_IDX)
      driver.queues[0]!.add([{ address: 0x8000, length: 1, write: true }])
      driver.notify(0)
    },
    (driver) => {
      driver.start(1, 16)
      driver.queues[0]!.availableIndex = 100
      driver.notify(0)
    },
    (driver) => {
      driver.start(1, 16)
      driver.addStatus(128)
    },
    (driver) => {
      driver.write(Register.QueueSel, 0xffffffff)
      driver.write(Register.SHMSel, 7)
    },
  ]
  for (const act of prepare) {
    const one = make()
    act(one.driver)
    Effect.runSync(one.device.quiesce)
    const saved = one.device.save()
    const wire = rngComponent.decode(rngComponent.encode(saved))
    const memory = one.memory
    const resources = fakeResources(memory)
    const two = Effect.runSync(Scope.provide(makeRng(resources), Scope.makeUnsafe()))
    Effect.runSync(two.restore(wire))
    assert.equal(two.save(), saved)
    assert.is(two.registers.read(Register.Status, 4), one.driver.status)
    const before = memory.raw.slice()
    assert.equal(memory.raw, before)
    two.kick()
    assert.is(resources.pulses > 0, saved.transport.interruptStatus !== 0)
  }
})

test("a request made between the last notification and the pause is served after restore", () => {
  const one = make()
  one.driver.start(1, 16)
  const queue = one.driver.queues[0]!
  Effect.runSync(one.device.quiesce)
  queue.add([{ address: 0x8000, length: 10, write: true }])
  one.resources.fire(0)
  one.driver.notify(0)
  assert.equal(queue.takeUsed(), [], "quiesced: nothing moves")
  const resources = fakeResources(one.memory)
  const two = Effect.runSync(Scope.provide(makeRng(resources), Scope.makeUnsafe()))
  Effect.runSync(two.restore(one.device.save()))
  assert.equal(queue.takeUsed(), [])
  two.kick()
  assert.equal(queue.takeUsed(), [{ id: 0, length: 10 }])
  assert.is(resources.pulses, 1)
  assert.equal(resources.subscribed(), [0])
  one.device.kick()
})

test("a state that contradicts itself or the device is refused, and changes nothing", () => {
  const one = make()
  one.driver.start(1, 16)
  const good = one.device.save()
  const [queue] = good.queues
  const cases: [string, object, object][] = [
    ["impossible status", { status: 5 }, {}],
    ["unknown status bit", { status: 0x2f }, {}],
    ["features not offered", { driverFeatures: ALL_FEATURES | 1n }, {}],
    ["no VERSION_1", { driverFeatures: 0n }, {}],
    ["interrupt status", { interruptStatus: 4 }, {}],
    ["ready too early", { status: 3 }, {}],
    ["maximum differs", {}, { maxSize: 128 }],
    ["size no power of two", {}, { size: 3 }],
    ["size too large", {}, { size: 65536 }],
    ["table outside", {}, { descriptorTable: 1n << 63n }],
    ["available unaligned", {}, { driverArea: 0x1801n }],
    ["used outside", {}, { deviceArea: 0x20000n }],
    ["more given back than taken", {}, { nextAvail: 3, nextUsed: 4 }],
    ["not ready, yet used", {}, { ready: false, nextAvail: 1 }],
  ]
  for (const [label, transport, changed] of cases) {
    const two = make()
    const before = two.device.save()
    const state = {
      ...good,
      transport: { ...good.transport, ...transport },
      queues: [{ ...queue!, ...changed }],
    }
    const error = Effect.runSync(Effect.flip(two.device.restore(state)))
    assert.is(error.code, "CRYOVM_DEVICE_STATE_REFUSED", label)
    assert.equal(two.device.save(), before, label)
  }
  for (const queues of [[], [queue!, queue!]]) {
    assert.ok(Exit.isFailure(Effect.runSyncExit(make().device.restore({ ...good, queues }))))
  }
})

test("the end of the scope ends subscriptions and all work", () => {
  const { driver, device, resources, scope } = make()
  driver.start(1, 16)
  const queue = driver.queues[0]!
  queue.add([{ address: 0x8000, length: 10, write: true }])
  Effect.runSync(Scope.close(scope, Exit.void))
  assert.equal(resources.subscribed(), [])
  driver.notify(0)
  device.kick()
  assert.equal(queue.takeUsed(), [])
})

test.run()
