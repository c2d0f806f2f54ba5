/**
 * The status of a virtio device as a state machine: virtio 1.2 section 2.1 and the order of section 3.1.1.
 */
import * as Data from "effect/Data"
import { ACKNOWLEDGE, DEVICE_NEEDS_RESET, DRIVER, DRIVER_OK, FAILED, FEATURES_OK } from "./constants.ts"

/** No fields. */
type Plain = Readonly<Record<never, never>>

/** Where a device is between reset and operation. */
export type DeviceStatus = Data.TaggedEnum<{
  Reset: Plain
  Acknowledge: Plain
  Driver: Plain
  FeaturesOk: Plain
  DriverOk: Plain
  /** The device met what it cannot go on from, and serves no queue until it is reset. `status`: the register's bits. */
  NeedsReset: { readonly status: number }
  /** The driver gave the device up. `status`: the register's bits. */
  Failed: { readonly status: number }
}>
export const DeviceStatus = Data.taggedEnum<DeviceStatus>()

/** What moves it. */
export type StatusEvent = Data.TaggedEnum<{
  /** The driver wrote the status register. `featuresAcceptable`: whether the device can work with what it negotiated. */
  Write: { readonly value: number; readonly featuresAcceptable: boolean }
  /** The device found itself unable to go on: a malformed ring, for example. */
  Malfunction: Plain
}>
export const StatusEvent = Data.taggedEnum<StatusEvent>()

const reset: DeviceStatus = DeviceStatus.Reset()
/** The regular states in their order, each with the bits of the register. */
const ladder: readonly { readonly state: DeviceStatus; readonly bits: number; readonly adds: number }[] = [
  { state: reset, bits: 0, adds: 0 },
  { state: DeviceStatus.Acknowledge(), bits: ACKNOWLEDGE, adds: ACKNOWLEDGE },
  { state: DeviceStatus.Driver(), bits: ACKNOWLEDGE | DRIVER, adds: DRIVER },
  { state: DeviceStatus.FeaturesOk(), bits: ACKNOWLEDGE | DRIVER | FEATURES_OK, adds: FEATURES_OK },
  { state: DeviceStatus.DriverOk(), bits: ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK, adds: DRIVER_OK },
]

/** The bits of the status register. */
export const statusBits = (status: DeviceStatus): number => {
  if (status._tag === "NeedsReset" || status._tag === "Failed") return status.status
  return ladder.find((rung) => rung.state._tag === status._tag)?.bits ?? 0
}

/** The state that shows as `bits`; `undefined` where no sequence of events leads there. */
export const statusFromBits = (bits: number): DeviceStatus | undefined => {
  const regular = ladder.find((rung) => rung.bits === (bits & ~(FAILED | DEVICE_NEEDS_RESET)))
  if (regular === undefined) return undefined
  if ((bits & FAILED) !== 0) return DeviceStatus.Failed({ status: bits })
  if ((bits & DEVICE_NEEDS_RESET) !== 0) return DeviceStatus.NeedsReset({ status: bits })
  return regular.state
}

/**
 * The next state. The same object comes back where nothing changes: a write that clears a bit (section 2.1.1), skips
 * a step, or asks for features that the device cannot work with is ignored. Bits may be set together, in order.
 */
export const step = (status: DeviceStatus, event: StatusEvent): DeviceStatus => {
  const bits = statusBits(status)
  if (event._tag === "Malfunction") {
    if (status._tag === "NeedsReset" || status._tag === "Failed") return status
    return DeviceStatus.NeedsReset({ status: bits | DEVICE_NEEDS_RESET })
  }
  if (event.value === 0) return status._tag === "Reset" ? status : reset
  const added = event.value & ~bits
  if ((bits & ~event.value) !== 0 || added === 0 || status._tag === "Failed") return status
  if ((added & FAILED) !== 0) return DeviceStatus.Failed({ status: bits | FAILED })
  if (status._tag === "NeedsReset") return status
  return climb(status, added, event.featuresAcceptable)
}

const climb = (status: DeviceStatus, added: number, featuresAcceptable: boolean): DeviceStatus => {
  let at = ladder.findIndex((rung) => rung.state._tag === status._tag)
  for (let left = added; left !== 0; at++) {
    const next = ladder[at + 1]
    if (next === undefined || (left & next.adds) === 0) return status
    if (next.adds === FEATURES_OK && !featuresAcceptable) return status
    left &= ~next.adds
  }
  return ladder[at]?.state ?? status
}
