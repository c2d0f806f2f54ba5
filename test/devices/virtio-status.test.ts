import { test } from "uvu"
import * as assert from "uvu/assert"
import { DeviceStatus, StatusEvent, statusBits, statusFromBits, step } from "../../src/devices/virtio/status.ts"

const regular = [
  DeviceStatus.Reset(),
  DeviceStatus.Acknowledge(),
  DeviceStatus.Driver(),
  DeviceStatus.FeaturesOk(),
  DeviceStatus.DriverOk(),
]
const bitsOf = [0, 1, 3, 11, 15]
const states: DeviceStatus[] = [
  ...regular,
  ...bitsOf.map((bits) => DeviceStatus.NeedsReset({ status: bits | 64 })),
  ...bitsOf.flatMap((bits) => [
    DeviceStatus.Failed({ status: bits | 128 }),
    DeviceStatus.Failed({ status: bits | 192 }),
  ]),
]

/** The table, told from the bits alone and not as the code does it. */
const expected = (bits: number, value: number, acceptable: boolean): number => {
  if (value === 0) return 0
  const clears = (bits & ~value) !== 0
  if (clears || (bits & 128) !== 0) return bits
  if ((value & 128) !== 0) return bits | 128
  if ((bits & 64) !== 0) return bits
  const at = bitsOf.indexOf(value)
  if (at < bitsOf.indexOf(bits)) return bits
  const passesFeatures = (value & 8) !== 0 && (bits & 8) === 0
  return passesFeatures && !acceptable ? bits : value
}

test("every state, every value of the register, either way of the features", () => {
  for (const state of states) {
    const bits = statusBits(state)
    for (let value = 0; value < 256; value++) {
      for (const featuresAcceptable of [true, false]) {
        const next = step(state, StatusEvent.Write({ value, featuresAcceptable }))
        const label = `${state._tag} ${bits} <- ${value} ${featuresAcceptable}`
        assert.is(statusBits(next), expected(bits, value, featuresAcceptable), label)
        if (statusBits(next) === bits) assert.is(next, state, `${label}: the same object`)
        assert.is(next._tag, statusFromBits(statusBits(next))?._tag, label)
      }
    }
  }
})

test("a malfunction asks for a reset in every state that has not ended", () => {
  for (const state of states) {
    const next = step(state, StatusEvent.Malfunction())
    if (state._tag === "NeedsReset" || state._tag === "Failed") assert.is(next, state)
    else assert.equal(next, DeviceStatus.NeedsReset({ status: statusBits(state) | 64 }))
  }
})

test("bits and states are the same thing", () => {
  for (const state of states) assert.equal(statusFromBits(statusBits(state)), state)
  const legal = new Set(states.map(statusBits))
  for (let bits = 0; bits < 256; bits++) assert.is(statusFromBits(bits) !== undefined, legal.has(bits), `${bits}`)
})

test.run()
