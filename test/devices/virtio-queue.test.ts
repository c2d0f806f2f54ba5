import { test } from "uvu"
import * as assert from "uvu/assert"
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../../src/devices/virtio/constants.ts"
import { Virtqueue } from "../../src/devices/virtio/queue.ts"
import { makeRingMemory } from "../support/ring-memory.ts"
import { DriverQueue } from "../support/virtio-driver.ts"

const NEXT = VIRTQ_DESC_F_NEXT
const WRITE = VIRTQ_DESC_F_WRITE
const INDIRECT = VIRTQ_DESC_F_INDIRECT

const make = (size = 8, features = VIRTIO_F_INDIRECT_DESC) => {
  const memory = makeRingMemory(0x20000, 0, 0x1_0000_0000)
  const driver = new DriverQueue(memory, 0x1000, size)
  const queue = new Virtqueue(memory, 256)
  queue.size = size
  queue.addressWords.set([driver.descriptors, 0, driver.available, 0, driver.used, 0])
  assert.is(queue.start(features), undefined)
  return { memory, driver, queue }
}

const chainOf = (queue: Virtqueue) =>
  Array.from({ length: queue.segments }, (_, index) => [
    queue.segmentAddress[index],
    queue.segmentLength[index],
    index >= queue.readableSegments,
  ])

test("a chain is described by the queue's fields", () => {
  const { driver, queue } = make()
  assert.is(queue.pop(), -1)
  const head = driver.add([
    { address: 0x5000, length: 16 },
    { address: 0x1_0000_0100, length: 32 },
    { address: 0x7000, length: 0, write: true },
    { address: 0x6000, length: 64, write: true },
  ])
  assert.is(queue.pop(), head)
  assert.equal(chainOf(queue), [
    [0x5000, 16, false],
    [0x1_0000_0100, 32, false],
    [0x6000, 64, true],
  ])
  assert.is(queue.readableBytes, 48)
  assert.is(queue.writableBytes, 64)
  assert.is(queue.pop(), -1)
  queue.push(head, 64)
  assert.equal(driver.takeUsed(), [{ id: head, length: 64 }])
})

test("indices wrap at 2^16", () => {
  const { driver, queue } = make(4)
  for (let round = 0; round < 70000; round++) {
    const head = driver.add([{ address: 0x5000 + (round & 0xff), length: 1 }])
    assert.is(queue.pop(), head)
    queue.push(head, round)
    const used = driver.takeUsed()
    if (used.length !== 1 || used[0]!.length !== round) assert.unreachable(`round ${round}`)
  }
  assert.is(queue.nextAvail, 70000 & 0xffff)
})

test("an indirect table, aligned or not, alone or after plain descriptors", () => {
  for (const table of [0x8000, 0x8002, 0x8001]) {
    const { driver, queue } = make()
    const head = driver.addIndirect(table, [
      { address: 0x5000, length: 16 },
      { address: 0x6000, length: 64, write: true },
    ])
    assert.is(queue.pop(), head)
    assert.equal(chainOf(queue), [
      [0x5000, 16, false],
      [0x6000, 64, true],
    ])
  }
  const { driver, queue } = make()
  driver.descriptor(driver.descriptors, 0x4000, 8, NEXT, 1)
  driver.descriptor(driver.descriptors + 16, 0x8000, 16, INDIRECT | WRITE, 0)
  driver.descriptor(0x8000, 0x6000, 4, WRITE, 0)
  driver.offer(0)
  assert.is(queue.pop(), 0)
  assert.equal(chainOf(queue), [
    [0x4000, 8, false],
    [0x6000, 4, true],
  ])
})

test("a chain put back comes again", () => {
  const { driver, queue } = make()
  const head = driver.add([{ address: 0x5000, length: 16 }])
  queue.pop()
  queue.undoPop()
  assert.is(queue.pop(), head)
})

const broken: [string, RegExp, (driver: DriverQueue) => void][] = [
  ["available index too far", /available index/, (driver) => driver.setAvailableIndex(9)],
  ["available index backwards", /available index/, (driver) => driver.setAvailableIndex(0xffff)],
  ["head out of range", /out of range/, (driver) => driver.offer(8)],
  ["next out of range", /out of range/, (driver) => driver.descriptor(driver.descriptors, 0x5000, 1, NEXT, 8)],
  ["a loop of one", /loop/, (driver) => driver.descriptor(driver.descriptors, 0x5000, 1, NEXT, 0)],
  [
    "a loop of empty ones",
    /loop/,
    (driver) => {
      driver.descriptor(driver.descriptors, 0, 0, NEXT, 1)
      driver.descriptor(driver.descriptors + 16, 0, 0, NEXT, 0)
    },
  ],
  ["outside memory", /not in guest memory/, (driver) => driver.descriptor(driver.descriptors, 0x20000, 1, 0, 0)],
  ["over the end", /not in guest memory/, (driver) => driver.descriptor(driver.descriptors, 0x1ffff, 2, WRITE, 0)],
  [
    "an address that wraps 2^64",
    /not in guest memory/,
    (driver) => {
      driver.descriptor(driver.descriptors, 0, 0x1000, 0, 0)
      driver.memory.view.setBigUint64(driver.descriptors, 0xffff_ffff_ffff_f800n, true)
    },
  ],
  [
    "readable after writable",
    /readable descriptor after/,
    (driver) => {
      driver.descriptor(driver.descriptors, 0x5000, 1, NEXT | WRITE, 1)
      driver.descriptor(driver.descriptors + 16, 0x5000, 1, 0, 0)
    },
  ],
  ["empty table", /whole number/, (driver) => driver.descriptor(driver.descriptors, 0x8000, 0, INDIRECT, 0)],
  ["odd table", /whole number/, (driver) => driver.descriptor(driver.descriptors, 0x8000, 24, INDIRECT, 0)],
  ["table outside", /table is not in/, (driver) => driver.descriptor(driver.descriptors, 0x1fff0, 32, INDIRECT, 0)],
  ["huge table", /table is not in/, (driver) => driver.descriptor(driver.descriptors, 0, 0xfffffff0, INDIRECT, 0)],
  ["long odd table", /longer than the queue/, (d) => d.descriptor(d.descriptors, 0x8001, 16 * 9, INDIRECT, 0)],
  ["table with next", /with a next/, (driver) => driver.descriptor(driver.descriptors, 0x8000, 16, INDIRECT | NEXT, 1)],
  [
    "table in a table",
    /inside an indirect/,
    (driver) => {
      driver.descriptor(driver.descriptors, 0x8000, 16, INDIRECT, 0)
      driver.descriptor(0x8000, 0x8000, 16, INDIRECT, 0)
    },
  ],
  [
    "next outside the table",
    /out of range/,
    (driver) => {
      driver.descriptor(driver.descriptors, 0x8000, 16, INDIRECT, 0)
      driver.descriptor(0x8000, 0x5000, 1, NEXT, 1)
    },
  ],
  [
    "table with more in the chain than the queue is long",
    /longer than the queue/,
    (driver) => {
      driver.descriptor(driver.descriptors, 0x8000, 16 * 9, INDIRECT, 0)
      for (let index = 0; index < 9; index++) driver.descriptor(0x8000 + 16 * index, 0x5000, 1, NEXT, index + 1)
    },
  ],
]

for (const [label, reason, spoil] of broken) {
  test(`a ring that makes no sense stops the queue: ${label}`, () => {
    const { driver, queue } = make()
    spoil(driver)
    if (driver.availableIndex === 0) driver.offer(0)
    assert.is(queue.pop(), -1)
    assert.match(queue.fault!, reason)
    assert.is(queue.segments, 0)
    assert.is(queue.pop(), -1)
    assert.is(driver.usedIndex, 0)
    queue.reset()
    assert.is(queue.fault, undefined)
  })
}

test("indirect only if negotiated", () => {
  const { driver, queue } = make(8, 0n)
  driver.addIndirect(0x8000, [{ address: 0x5000, length: 16 }])
  assert.is(queue.pop(), -1)
  assert.match(queue.fault!, /not negotiated/)
})

test("a chain may be as long as the queue, and 2^32 bytes long in all, but not more", () => {
  const { driver, queue } = make(8)
  driver.add(Array.from({ length: 8 }, () => ({ address: 0x5000, length: 1 })))
  assert.is(queue.pop(), 0)
  assert.is(queue.segments, 8)
  const large = makeRingMemory(0x20000)
  const claimed = { ...large, regions: [{ ...large.regions[0]!, size: 2 ** 40 }] }
  const ring = new DriverQueue(large, 0x1000, 8)
  const other = new Virtqueue(claimed, 8)
  other.size = 8
  other.addressWords.set([ring.descriptors, 0, ring.available, 0, ring.used, 0])
  other.start(0n)
  ring.add([
    { address: 0x5000, length: 0xffffffff },
    { address: 0x5000, length: 1 },
  ])
  assert.is(other.pop(), 0)
  ring.add([
    { address: 0x5000, length: 0xffffffff },
    { address: 0x5000, length: 2 },
  ])
  assert.is(other.pop(), -1)
  assert.match(other.fault!, /2\^32/)
})

test("interrupts: NO_INTERRUPT without event index", () => {
  const { driver, queue } = make()
  const serve = () => {
    driver.add([{ address: 0x5000, length: 1 }])
    queue.push(queue.pop(), 0)
  }
  assert.not(queue.shouldInterrupt(), "nothing pushed")
  serve()
  assert.ok(queue.shouldInterrupt())
  assert.not(queue.shouldInterrupt(), "asks once")
  driver.availableFlags = VIRTQ_AVAIL_F_NO_INTERRUPT
  serve()
  assert.not(queue.shouldInterrupt())
  driver.availableFlags = 0
  assert.not(queue.shouldInterrupt())
})

test("interrupts: event index, against a model that counts without wrapping", () => {
  const { driver, queue } = make(16, VIRTIO_F_EVENT_IDX)
  let pushed = 0
  let event = 0
  for (let round = 0; round < 30000; round++) {
    const batch = 1 + (round % 7)
    for (let index = 0; index < batch; index++) {
      driver.add([{ address: 0x5000, length: 1 }])
      queue.push(queue.pop(), 0)
    }
    const before = pushed
    pushed += batch
    const wanted = event >= before && event < pushed
    if (queue.shouldInterrupt() !== wanted) assert.unreachable(`round ${round}`)
    if (wanted) {
      event = pushed + (round % 11)
      driver.usedEvent = event & 0xffff
    }
  }
})

test("notifications: the available event is set when the ring runs dry, and only then", () => {
  const { driver, queue } = make(8, VIRTIO_F_EVENT_IDX)
  driver.add([{ address: 0x5000, length: 1 }])
  driver.add([{ address: 0x5000, length: 1 }])
  queue.pop()
  queue.pop()
  assert.is(driver.availableEvent, 0)
  assert.is(queue.pop(), -1)
  assert.is(driver.availableEvent, 2)
  assert.ok(queue.takeTouched())
  assert.not(queue.takeTouched())
})

test.run()
