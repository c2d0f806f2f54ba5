import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MAX_REQUEST_BYTES, makeRng } from "../../src/devices/rng/model.ts"
import { makeRingMemory } from "../support/ring-memory.ts"
import { fakeResources, turn, VirtioDriver } from "../support/virtio-driver.ts"

const make = (memorySize = 0x40000) => {
  const memory = makeRingMemory(memorySize)
  const resources = fakeResources(memory)
  const device = Effect.runSync(Scope.provide(makeRng(resources), Scope.makeUnsafe()))
  const driver = new VirtioDriver(device.registers, memory)
  driver.start(1, 64)
  return { memory, resources, device, driver, queue: driver.queues[0]! }
}

test("bytes are random, and fill what was offered", () => {
  const { queue, memory, driver, device } = make()
  queue.add([
    { address: 0x8000, length: 4096, write: true },
    { address: 0xa000, length: 4096, write: true },
  ])
  driver.notify(0)
  assert.equal(queue.takeUsed(), [{ id: 0, length: 8192 }])
  for (const at of [0x8000, 0xa000]) {
    const distinct = new Set(memory.raw.subarray(at, at + 4096))
    assert.ok(distinct.size > 200, `${distinct.size} different bytes`)
  }
  assert.is(device.metrics.requests, 1)
  assert.is(device.metrics.bytes, 8192)
})

test("a request that is too large is cut short, one without a buffer given back", () => {
  const { queue, memory, driver, device } = make()
  queue.add([{ address: 0x10000, length: 0x20000, write: true }])
  queue.add([{ address: 0x8000, length: 16 }])
  driver.notify(0)
  assert.equal(
    queue.takeUsed().map(({ length }) => length),
    [MAX_REQUEST_BYTES, 0],
  )
  assert.ok(memory.raw.subarray(0x10000 + MAX_REQUEST_BYTES, 0x30000).every((byte) => byte === 0))
  assert.is(device.metrics.shortened, 1)
})

test("many large requests take several turns, and all are served", async () => {
  const { queue, driver, device } = make()
  for (let index = 0; index < 60; index++) queue.add([{ address: 0x10000, length: 0x10000, write: true }])
  driver.notify(0)
  const first = queue.takeUsed().length
  assert.is(first, 4)
  for (let turns = 0; turns < 20; turns++) await turn()
  assert.is(first + queue.takeUsed().length, 60)
  assert.ok(device.transportMetrics.continuations >= 14)
})

test.run()
