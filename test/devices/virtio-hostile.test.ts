/** Rings as no driver would write them: the device may stop, but not throw, hang, or write where it was not let. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { makeBalloon } from "../../src/devices/balloon/model.ts"
import { makeConsole } from "../../src/devices/console/model.ts"
import type { AnyDevice, VirtioResources } from "../../src/devices/device.ts"
import { makeRng } from "../../src/devices/rng/model.ts"
import { VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from "../../src/devices/virtio/constants.ts"
import { everything, fakeDiscard } from "../support/balloon-driver.ts"
import { makeRingMemory, type RingMemory } from "../support/ring-memory.ts"
import { type DriverQueue, type FakeResources, fakeResources, turn, VirtioDriver } from "../support/virtio-driver.ts"

const MEMORY = 0x10000
const SIZE = 16
const TABLES = 0x4000
const DATA = 0x8000

interface HostileDescriptor {
  readonly address: bigint
  readonly length: number
  readonly flags: number
  readonly next: number
}

type Make = (resources: VirtioResources) => Effect.Effect<AnyDevice, never, Scope.Scope>
const kinds: { readonly name: string; readonly queues: number; readonly make: Make }[] = [
  { name: "rng", queues: 1, make: (resources) => makeRng(resources) },
  {
    name: "console",
    queues: 2,
    make: (resources) =>
      Effect.tap(makeConsole(resources), (device) => device.send(new Uint8Array(30000).fill(0x5a)).pipe(Effect.orDie)),
  },
  {
    name: "balloon",
    queues: 5,
    make: (resources) =>
      makeBalloon({ ...resources, discard: fakeDiscard(resources.memory, resources.written) }, everything),
  },
]

const flags = fc.oneof(
  fc.constantFrom(
    0,
    VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_WRITE,
    VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_INDIRECT,
  ),
  fc.integer({ min: 0, max: 0xffff }),
)
const descriptor = (address: fc.Arbitrary<number | bigint>): fc.Arbitrary<HostileDescriptor> =>
  fc.record({
    address: address.map(BigInt),
    length: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.constantFrom(16, 32, 64, 0x8000, 0xffffffff), fc.nat(0xffff)),
    flags,
    next: fc.oneof({ weight: 9, arbitrary: fc.nat(SIZE - 1) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
  })
const anywhere = fc.oneof(fc.nat(MEMORY + 64), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.nat(0xffffffff))
const hostile = descriptor(anywhere)
/**
 * Mostly good, so that much is served before something is not; buffers away from rings and tables, so that what the
 * device writes cannot change what a later chain says.
 */
const nearlyGood = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({
      address: fc.integer({ min: DATA, max: MEMORY - 0x1000 }).map(BigInt),
      length: fc.nat(0x1000),
      flags: fc.constantFrom(0, VIRTQ_DESC_F_WRITE, VIRTQ_DESC_F_WRITE, VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_NEXT),
      next: fc.nat(SIZE - 1),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      address: fc.nat(SIZE - 1).map((index) => BigInt(TABLES + 16 * index)),
      length: fc.nat(8).map((entries) => 16 * entries),
      flags: fc.constant(VIRTQ_DESC_F_INDIRECT),
      next: fc.constant(0),
    }),
  },
  {
    weight: 1,
    arbitrary: descriptor(
      fc.oneof(fc.integer({ min: DATA, max: MEMORY - 1 }), fc.bigInt({ min: BigInt(MEMORY), max: (1n << 64n) - 1n })),
    ),
  },
)

interface Ring {
  readonly descriptors: readonly HostileDescriptor[]
  readonly tables: readonly HostileDescriptor[]
  readonly heads: readonly number[]
  readonly index: number
}
const ring = (entry: fc.Arbitrary<HostileDescriptor>): fc.Arbitrary<Ring> =>
  fc.record({
    descriptors: fc.array(entry, { minLength: SIZE, maxLength: SIZE }),
    tables: fc.array(entry, { minLength: SIZE, maxLength: SIZE }),
    heads: fc.array(fc.oneof({ weight: 9, arbitrary: fc.nat(SIZE - 1) }, { weight: 1, arbitrary: fc.nat(0xffff) }), {
      minLength: SIZE,
      maxLength: SIZE,
    }),
    index: fc.oneof({ weight: 9, arbitrary: fc.nat(SIZE) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
  })

const put = (memory: RingMemory, at: number, entry: HostileDescriptor): void => {
  memory.view.setBigUint64(at, entry.address, true)
  memory.view.setUint32(at + 8, entry.length, true)
  memory.view.setUint16(at + 12, entry.flags, true)
  memory.view.setUint16(at + 14, entry.next, true)
}

const layOut = (queue: DriverQueue, content: Ring): void => {
  const { memory } = queue
  for (const [index, entry] of content.descriptors.entries()) put(memory, queue.descriptors + 16 * index, entry)
  for (const [index, entry] of content.tables.entries()) put(memory, TABLES + 16 * index, entry)
  for (const [index, head] of content.heads.entries()) {
    memory.view.setUint16(queue.available + 4 + 2 * index, head, true)
  }
  queue.availableIndex = content.index
}

const run = async (
  make: Make,
  queues: number,
  rings: readonly Ring[],
  check: (driver: VirtioDriver, resources: FakeResources, act: () => Promise<void>) => Promise<void>,
): Promise<void> => {
  const memory = makeRingMemory(MEMORY)
  const resources = fakeResources(memory)
  const scope = Scope.makeUnsafe()
  const device = Effect.runSync(Scope.provide(make(resources), scope))
  const driver = new VirtioDriver(device.registers, memory)
  driver.start(queues, SIZE, undefined, 0x1000)
  memory.raw.fill(0x11, DATA)
  for (const [index, queue] of driver.queues.entries()) layOut(queue, rings[index]!)
  await check(driver, resources, async () => {
    for (let index = 0; index < queues; index++) resources.fire(index)
    for (let turns = 0; turns < 3; turns++) await turn()
    for (let index = 0; index < queues; index++) driver.notify(index)
  })
  Effect.runSync(Scope.close(scope, Exit.void))
}

const within = (changed: number, ranges: readonly (readonly [number, number])[]): boolean =>
  ranges.some(([start, end]) => changed >= start && changed < end)

for (const { name, queues, make } of kinds) {
  test(`${name}: any ring at all`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(ring(hostile), { minLength: queues, maxLength: queues }), async (rings) => {
        await run(make, queues, rings, async (driver, _resources, act) => {
          const began = performance.now()
          await act()
          assert.ok(performance.now() - began < 1000)
          assert.ok([15, 15 | 64].includes(driver.status))
        })
      }),
      { numRuns: 300 },
    )
  })

  let served = 0
  test(`${name}: nothing is written but the used ring and what was offered, and all of it is told of`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(ring(nearlyGood), { minLength: queues, maxLength: queues }), async (rings) => {
        await run(make, queues, rings, async (driver, resources, act) => {
          const { memory } = driver
          const allowed: (readonly [number, number])[] = driver.queues.map((queue) => [queue.used, queue.end] as const)
          for (const { descriptors, tables } of rings) {
            for (const entry of [...descriptors, ...tables]) {
              // Tables are never a buffer here: they hold what the next chain says.
              if ((entry.flags & VIRTQ_DESC_F_WRITE) === 0) continue
              allowed.push([Number(entry.address), Number(entry.address) + entry.length])
            }
          }
          const before = memory.raw.slice()
          await act()
          for (const queue of driver.queues) served += queue.takeUsed().length
          const told = resources.ranges.map(({ address, length }) => [address, address + length] as const)
          for (let at = 0; at < MEMORY; at++) {
            if (memory.raw[at] === before[at]) continue
            assert.ok(within(at, allowed), `${at.toString(16)} was not offered`)
            assert.ok(within(at, told), `${at.toString(16)} was written without telling`)
          }
        })
      }),
      { numRuns: 300 },
    )
    assert.ok(served > 200, `${served} chains were good enough to be served`)
  })

  test(`${name}: any register, written at any time`, async () => {
    const access = fc.record({
      offset: fc.oneof(
        fc.nat(0x44).map((word) => 4 * word),
        fc.nat(0x10ff),
      ),
      length: fc.constantFrom(1 as const, 2 as const, 4 as const),
      value: fc.oneof(fc.constantFrom(0, 1, 3, 11, 15, 64, 128), fc.nat(0x2000), fc.nat(0xffffffff)),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(access, { maxLength: 200 }), async (accesses) => {
        const memory = makeRingMemory(MEMORY)
        const scope = Scope.makeUnsafe()
        const device = Effect.runSync(Scope.provide(make(fakeResources(memory)), scope))
        for (const { offset, length, value } of accesses) {
          device.registers.write(offset, length, value % 2 ** (8 * length))
          const answer = device.registers.read(offset, length)
          assert.ok(Number.isInteger(answer) && answer >= 0 && answer < 2 ** (8 * length))
        }
        await turn()
        const saved = device.save()
        device.component.decode(device.component.encode(saved))
        Effect.runSync(Scope.close(scope, Exit.void))
      }),
      { numRuns: 200 },
    )
  })
}

test("a guest that always has more to do does not keep the event loop", async () => {
  const memory = makeRingMemory(MEMORY)
  const resources = fakeResources(memory)
  const scope = Scope.makeUnsafe()
  const filled: number[] = []
  let queue: DriverQueue | undefined
  // Whatever is served, the guest has offered another one already.
  const device = Effect.runSync(
    Scope.provide(
      makeRng(resources, {
        fill: (into) => {
          filled.push(into.length)
          if (queue !== undefined) queue.availableIndex = queue.availableIndex + 1
        },
      }),
      scope,
    ),
  )
  const driver = new VirtioDriver(device.registers, memory)
  driver.start(1, SIZE)
  queue = driver.queues[0]!
  for (let index = 0; index < SIZE; index++) queue.add([{ address: DATA, length: 8, write: true }])
  driver.notify(0)
  const first = filled.length
  assert.ok(first > 0 && first <= 256, `${first} in one turn`)
  await turn()
  await turn()
  assert.ok(filled.length > first, "it goes on later")
  Effect.runSync(device.quiesce)
  const quiet = filled.length
  await turn()
  await turn()
  assert.is(filled.length, quiet, "and not while quiesced")
  device.kick()
  assert.ok(filled.length > quiet)
  Effect.runSync(Scope.close(scope, Exit.void))
  const end = filled.length
  await turn()
  assert.is(filled.length, end)
})

test.run()
