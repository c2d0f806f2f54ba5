import * as Effect from "effect/Effect"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { AddressRangeRefused, AddressSpace, byteRegisters } from "../../src/devices/bus.ts"
import type { AccessLength, Registers } from "../../src/devices/device.ts"

interface Logged {
  readonly kind: "read" | "write"
  readonly offset: number
  readonly length: AccessLength
  readonly value?: number
}

const recorder = (answer = 0): Registers & { readonly log: Logged[] } => {
  const log: Logged[] = []
  return {
    log,
    read: (offset, length) => {
      log.push({ kind: "read", offset, length })
      return answer + offset
    },
    write: (offset, length, value) => void log.push({ kind: "write", offset, length, value }),
  }
}

const page = () => new DataView(new ArrayBuffer(64))
const register = (space: AddressSpace, base: number, size: number, registers: Registers) =>
  Effect.runSync(space.register({ base, size }, registers))

test("an access reaches the device at its own offset", () => {
  const space = new AddressSpace("mmio")
  const low = recorder()
  const high = recorder(0x100)
  register(space, 0x2000, 0x100, high)
  register(space, 0x1000, 0x100, low)
  const view = page()
  view.setUint32(8, 0xdeadbeef, true)
  assert.ok(space.dispatch(0x1010, 4, true, view, 8))
  assert.equal(low.log, [{ kind: "write", offset: 0x10, length: 4, value: 0xdeadbeef }])
  assert.ok(space.dispatch(0x2004, 2, false, view, 8))
  assert.is(view.getUint32(8, true), 0xdead0104, "two bytes answered, the others left")
  assert.ok(space.dispatch(0x10ff, 1, false, view, 0))
  assert.is(view.getUint8(0), 0xff)
})

test("eight bytes are two accesses of four, low half first", () => {
  const space = new AddressSpace("mmio")
  const device = recorder(7)
  register(space, 0, 16, device)
  const view = page()
  assert.ok(space.dispatch(8, 8, false, view, 0))
  assert.equal(
    device.log.map(({ offset, length }) => [offset, length]),
    [
      [8, 4],
      [12, 4],
    ],
  )
  assert.is(view.getUint32(0, true), 15)
  assert.is(view.getUint32(4, true), 19)
})

test("what nobody claims reads as ones, writes nowhere, and is counted", () => {
  const space = new AddressSpace("pio")
  register(space, 0x100, 4, recorder())
  const view = page()
  for (const [address, length] of [
    [0xff, 1],
    [0x104, 1],
    [0x102, 4],
    [0xff, 2],
  ] as const) {
    view.setUint32(0, 0, true)
    assert.not(space.dispatch(address, length, false, view, 0))
    assert.is(view.getUint32(0, true), length === 4 ? 0xffffffff : 2 ** (8 * length) - 1)
    assert.not(space.dispatch(address, length, true, view, 0))
  }
  assert.is(space.metrics.unclaimedReads, 4)
  assert.is(space.metrics.unclaimedWrites, 4)
  assert.is(space.metrics.lastUnclaimed, 0xff)
})

test("an odd length is answered with ones, and counted", () => {
  const space = new AddressSpace("mmio")
  register(space, 0, 64, { read: () => 7, write: () => {} })
  const view = page()
  assert.not(space.dispatch(0, 3, false, view, 0))
  assert.is(view.getUint32(0, true), 0xffffff)
  assert.is(space.metrics.oddLengths, 1)
})

test("what a device throws is not swallowed: it is a defect, and fails the machine", () => {
  const space = new AddressSpace("mmio")
  register(space, 0, 64, {
    read: () => {
      throw new Error("broken")
    },
    write: () => {},
  })
  assert.throws(() => space.dispatch(0, 4, false, page(), 0), "broken")
})

test("ranges that overlap or are none are refused", () => {
  const space = new AddressSpace("pio")
  const remove = register(space, 0x100, 0x10, recorder())
  for (const range of [
    { base: 0x100, size: 0x10 },
    { base: 0xff, size: 2 },
    { base: 0x10f, size: 1 },
    { base: 0x0, size: 0x1000 },
    { base: 0x104, size: 2 },
    { base: 0x200, size: 0 },
    { base: -1, size: 1 },
    { base: 0.5, size: 1 },
    { base: 2 ** 53, size: 1 },
  ]) {
    const error = Effect.runSync(Effect.flip(space.register(range, recorder())))
    assert.instance(error, AddressRangeRefused)
    assert.is(error.code, "CRYOVM_ADDRESS_RANGE_REFUSED")
  }
  register(space, 0x110, 1, recorder())
  register(space, 0xff, 1, recorder())
  assert.equal(
    space.ranges.map((range) => range.base),
    [0xff, 0x100, 0x110],
  )
  const view = page()
  assert.ok(space.dispatch(0x100, 1, false, view, 0))
  remove()
  assert.not(space.dispatch(0x100, 1, false, view, 0), "a range taken back is not remembered")
})

test("a wide access to byte registers is one of each byte", () => {
  const written: [number, number][] = []
  const registers = byteRegisters(
    (offset) => 0xf0 + offset,
    (offset, value) => void written.push([offset, value]),
  )
  assert.is(registers.read(1, 4), 0xf4f3f2f1)
  assert.is(registers.read(2, 1), 0xf2)
  registers.write(3, 4, 0x84838281)
  assert.equal(written, [
    [3, 0x81],
    [4, 0x82],
    [5, 0x83],
    [6, 0x84],
  ])
})

test.run()
