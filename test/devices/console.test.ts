import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MAX_TRANSMIT_BYTES, makeConsole } from "../../src/devices/console/model.ts"
import { consoleComponent, MAX_INPUT_BYTES } from "../../src/devices/console/state.ts"
import { OutputOverrun } from "../../src/devices/output.ts"
import { Register } from "../../src/devices/virtio/constants.ts"
import { makeRingMemory, type RingMemory } from "../support/ring-memory.ts"
import { type FakeResources, fakeResources, turn, VirtioDriver } from "../support/virtio-driver.ts"

const RX = 0
const TX = 1

const make = (memory: RingMemory = makeRingMemory(0x40000), resources: FakeResources = fakeResources(memory)) => {
  const scope = Scope.makeUnsafe()
  const device = Effect.runSync(Scope.provide(makeConsole(resources), scope))
  return { memory, resources, device, scope, driver: new VirtioDriver(device.registers, memory) }
}
const started = () => {
  const made = make()
  made.driver.start(2, 16)
  return { ...made, rx: made.driver.queues[RX]!, tx: made.driver.queues[TX]! }
}
const text = (value: string) => new TextEncoder().encode(value)
const put = (memory: RingMemory, address: number, value: string) => memory.raw.set(text(value), address)
const at = (memory: RingMemory, address: number, length: number) =>
  new TextDecoder().decode(memory.raw.slice(address, address + length))

test("what the guest sends reaches every listener, and its buffer comes back first", () => {
  const { device, driver, memory, tx } = started()
  const seen: string[] = []
  const stop = device.onData((bytes) => seen.push(`${new TextDecoder().decode(bytes)} ${tx.usedIndex}`))
  device.onData(() => {
    throw new Error("a bad listener")
  })
  put(memory, 0x8000, "hello ")
  put(memory, 0x9000, "world")
  tx.add([
    { address: 0x8000, length: 6 },
    { address: 0x9000, length: 5 },
  ])
  driver.notify(TX)
  assert.equal(seen, ["hello world 1"])
  assert.equal(tx.takeUsed(), [{ id: 0, length: 0 }])
  stop()
  tx.add([{ address: 0x8000, length: 6 }])
  driver.notify(TX)
  assert.is(seen.length, 1)
  assert.is(device.metrics.transmittedBytes, 17)
  assert.is(driver.status, 15)
})

test("a used ring that was written is told of, also when what the guest sent leads to a reset", () => {
  const { device, driver, resources, tx } = started()
  device.onData(() => device.reset())
  tx.add([{ address: 0x8000, length: 6 }])
  resources.ranges.length = 0
  driver.notify(TX)
  assert.is(tx.usedIndex, 1)
  assert.ok(resources.ranges.some(({ address, length }) => address <= tx.used && address + length >= tx.used + 12))
})

test("input goes into the guest's buffers, in order, across them", () => {
  const { device, memory, rx, resources } = started()
  rx.add([
    { address: 0x8000, length: 4, write: true },
    { address: 0x9000, length: 2, write: true },
  ])
  rx.add([{ address: 0xa000, length: 16, write: true }])
  Effect.runSync(device.send(text("abcdefgh")))
  assert.equal(rx.takeUsed(), [
    { id: 0, length: 6 },
    { id: 2, length: 2 },
  ])
  assert.is(at(memory, 0x8000, 4) + at(memory, 0x9000, 2) + at(memory, 0xa000, 2), "abcdefgh")
  assert.ok(resources.pulses > 0)
  assert.is(device.pendingInput(), 0)
})

test("input sent before the driver is there waits for it, also through its reset", () => {
  const { device, driver, memory } = make()
  Effect.runSync(device.send(text("early")))
  driver.write(Register.Status, 0)
  driver.negotiate()
  const rx = driver.setUpQueue(RX, 0x1000, 8)
  driver.setUpQueue(TX, 0x2000, 8)
  rx.add([{ address: 0x8000, length: 16, write: true }])
  driver.ready()
  assert.equal(rx.takeUsed(), [{ id: 0, length: 5 }])
  assert.is(at(memory, 0x8000, 5), "early")
})

test("without buffers input waits, and a notification moves it", () => {
  const { device, driver, rx, memory } = started()
  Effect.runSync(device.send(text("x".repeat(100))))
  assert.is(device.pendingInput(), 100)
  assert.is(rx.availableEvent, 0, "asks for a notification of the next buffer")
  for (let index = 0; index < 10; index++) rx.add([{ address: 0x8000 + 10 * index, length: 10, write: true }])
  driver.notify(RX)
  assert.is(rx.takeUsed().length, 10)
  assert.is(at(memory, 0x8000, 100), "x".repeat(100))
})

test("a sender waits for room, keeps its turn, and may give up", async () => {
  const { device, driver, rx } = started()
  Effect.runSync(device.send(new Uint8Array(MAX_INPUT_BYTES)))
  let sent = 0
  const first = Effect.runFork(Effect.tap(device.send(new Uint8Array(20000)), () => Effect.sync(() => sent++)))
  const given = Effect.runFork(device.send(new Uint8Array(30000)))
  const second = Effect.runFork(Effect.tap(device.send(new Uint8Array(1)), () => Effect.sync(() => sent++)))
  await turn()
  assert.is(sent, 0)
  await Effect.runPromise(Fiber.interrupt(given))
  rx.add([{ address: 0x8000, length: 10000, write: true }])
  driver.notify(RX)
  await turn()
  assert.is(sent, 0, "the small one does not overtake")
  rx.add([{ address: 0x8000, length: 10001, write: true }])
  driver.notify(RX)
  await Effect.runPromise(Fiber.join(first))
  await Effect.runPromise(Fiber.join(second))
  assert.is(device.pendingInput(), MAX_INPUT_BYTES)
})

test("a piece that can never fit is refused; the end of the machine ends who waits", async () => {
  const { device, scope } = started()
  const tooLarge = Effect.runSync(Effect.flip(device.send(new Uint8Array(MAX_INPUT_BYTES + 1))))
  assert.is(tooLarge.code, "CRYOVM_INPUT_TOO_LARGE")
  Effect.runSync(device.send(new Uint8Array(MAX_INPUT_BYTES)))
  const waiting = Effect.runFork(Effect.flip(device.send(new Uint8Array(1))))
  await turn()
  Effect.runSync(Scope.close(scope, Exit.void))
  assert.is((await Effect.runPromise(Fiber.join(waiting))).code, "CRYOVM_DEVICE_CLOSED")
  assert.is(Effect.runSync(Effect.flip(device.send(new Uint8Array(1)))).code, "CRYOVM_DEVICE_CLOSED")
})

test("input under way survives a snapshot whole, half of it delivered before", () => {
  const one = started()
  one.rx.add([{ address: 0x8000, length: 6, write: true }])
  Effect.runSync(one.device.send(text("hello restored world")))
  Effect.runSync(one.device.quiesce)
  Effect.runSync(one.device.send(text("!")))
  const saved = one.device.save()
  const wire = consoleComponent.decode(consoleComponent.encode(saved))
  const resources = fakeResources(one.memory)
  const two = make(one.memory, resources)
  Effect.runSync(two.device.restore(wire))
  assert.equal(two.device.save(), saved)
  one.rx.add([{ address: 0x9000, length: 64, write: true }])
  two.device.kick()
  assert.is(at(one.memory, 0x8000, 6) + at(one.memory, 0x9000, 15), "hello restored world!")
  assert.ok(resources.pulses > 0)
  // And the other way goes on as well.
  const seen: Uint8Array[] = []
  two.device.onData((bytes) => void seen.push(bytes))
  put(one.memory, 0xa000, "answer")
  one.tx.add([{ address: 0xa000, length: 6 }])
  resources.fire(TX)
  assert.equal(seen, [text("answer")])
  two.device.reset()
  assert.is(two.device.pendingInput(), 0)
})

test("while quiesced nothing reaches guest memory; kick makes up for it", () => {
  const { device, driver, rx, tx, memory, resources } = started()
  const seen: Uint8Array[] = []
  device.onData((bytes) => void seen.push(bytes))
  rx.add([{ address: 0x8000, length: 64, write: true }])
  tx.add([{ address: 0x9000, length: 3 }])
  Effect.runSync(device.quiesce)
  const before = memory.raw.slice()
  Effect.runSync(device.send(text("late")))
  driver.notify(TX)
  resources.fire(RX)
  assert.equal(memory.raw, before)
  assert.is(resources.pulses, 0)
  assert.is(seen.length, 0)
  device.kick()
  assert.is(at(memory, 0x8000, 4), "late")
  assert.is(seen.length, 1)
  assert.is(resources.pulses > 0, true)
})

test("a buffer that is too long stops the device", () => {
  const memory = makeRingMemory(2 * MAX_TRANSMIT_BYTES)
  const { driver } = make(memory)
  driver.start(2, 16)
  driver.queues[TX]!.add([{ address: 0, length: MAX_TRANSMIT_BYTES + 1 }])
  driver.notify(TX)
  assert.is(driver.status, 15 | 64)
})

test("the output stream gives all of it, and fails rather than lose a byte", async () => {
  const { device, driver, tx, scope } = started()
  const send = (bytes: number) => {
    tx.add([{ address: 0, length: bytes }])
    driver.notify(TX)
    tx.takeUsed()
  }
  let taken = 0
  const reader = Effect.runFork(
    Stream.runForEach(device.output, (bytes) =>
      Effect.sync(() => {
        taken += bytes.length
      }),
    ),
  )
  await turn()
  for (let index = 0; index < 200; index++) {
    send(0x10000)
    await turn()
  }
  await turn()
  assert.is(taken, 200 * 0x10000)
  Effect.runSync(Scope.close(scope, Exit.void))
  assert.is(await Effect.runPromise(Fiber.join(reader)), undefined, "the end of the machine ends the stream")
})

test("a reader of the output stream that is too far behind fails rather than lose a byte", async () => {
  const { device, driver, tx } = started()
  let taken = 0
  const late = Effect.runFork(
    Effect.flip(
      Stream.runForEach(device.output, (bytes) =>
        Effect.promise(() => {
          taken += bytes.length
          return turn()
        }),
      ),
    ),
  )
  await turn()
  for (let index = 0; index < 80; index++) {
    tx.add([{ address: 0, length: 0x10000 }])
    driver.notify(TX)
    tx.takeUsed()
  }
  assert.instance(await Effect.runPromise(Fiber.join(late)), OutputOverrun)
  assert.ok(taken <= 65 * 0x10000)
  assert.is(driver.status, 15, "the guest does not notice")
})

test.run()
