import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { makeI8042 } from "../../src/devices/legacy/i8042/model.ts"
import { i8042Component } from "../../src/devices/legacy/i8042/state.ts"

const make = () => {
  const resets = { count: 0 }
  const device = Effect.runSync(Scope.provide(makeI8042({ onReset: () => void resets.count++ }), Scope.makeUnsafe()))
  const status = () => device.registers.read(4, 1)
  const command = (value: number, data?: number) => {
    assert.is(status() & 2, 0, "never busy")
    device.registers.write(4, 1, value)
    if (data !== undefined) device.registers.write(0, 1, data)
  }
  const answer = () => {
    assert.is(status() & 1, 1, "an answer is there at once")
    return device.registers.read(0, 1)
  }
  return { device, resets, status, command, answer }
}

test("Linux's i8042 probe gets through without waiting", () => {
  const { device, status, command, answer } = make()
  assert.is(status() & 1, 0, "i8042_flush has nothing to do")
  command(0xaa)
  assert.is(answer(), 0x55)
  assert.is(status() & 0x14, 0x14, "self test passed, keyboard not locked")
  command(0x20)
  const control = answer()
  command(0x60, control & ~0x30)
  command(0x20)
  assert.is(answer(), control & ~0x30)
  command(0xd3, 0x5a)
  assert.is(status() & 0x20, 0, "no answer from a mouse")
  assert.is(answer(), 0x5a)
  command(0xa9)
  assert.is.not(answer(), 0, "no mouse")
  command(0xab)
  assert.is(answer(), 0)
  command(0xa7)
  command(0x20)
  assert.is(answer() & 0x20, 0x20)
  command(0xa8)
  command(0xad)
  command(0x20)
  assert.is(answer() & 0x30, 0x10)
  command(0xae)
  device.registers.write(0, 1, 0xf2)
  assert.is(status() & 1, 0, "no keyboard")
  assert.is(device.metrics.droppedBytes, 1)
  command(0x01)
  assert.is(device.metrics.unknownCommands, 1)
})

test("0xfe resets the machine, so does the output port", () => {
  const { resets, command, answer } = make()
  command(0xff)
  assert.is(resets.count, 0)
  command(0xfe)
  assert.is(resets.count, 1)
  command(0xd1, 0x03)
  assert.is(resets.count, 1)
  command(0xd1, 0x02)
  assert.is(resets.count, 2)
  command(0xd0)
  assert.is(answer(), 0x03)
})

test("save and restore in the middle of a command", () => {
  const one = make()
  const fresh = one.device.save()
  one.command(0xaa)
  one.device.registers.write(4, 1, 0x60)
  const saved = one.device.save()
  const two = make()
  Effect.runSync(two.device.restore(i8042Component.decode(i8042Component.encode(saved))))
  assert.equal(two.device.save(), saved)
  assert.is(two.answer(), 0x55)
  two.device.registers.write(0, 1, 0x77)
  two.command(0x20)
  assert.is(two.answer(), 0x77)
  assert.is(
    Effect.runSync(Effect.flip(two.device.restore({ ...saved, awaitingData: 0x20 }))).code,
    "CRYOVM_DEVICE_STATE_REFUSED",
  )
  two.device.reset()
  assert.equal(two.device.save(), fresh)
})

test("the port in between is not its own", () => {
  assert.is(make().device.registers.read(1, 1), 0xff)
})

test.run()
