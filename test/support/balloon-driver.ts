/** A balloon device with a driver in front, over memory that discards as the addon does: strictly, and to zero. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import {
  VIRTIO_BALLOON_F_DEFLATE_ON_OOM,
  VIRTIO_BALLOON_F_FREE_PAGE_HINT,
  VIRTIO_BALLOON_F_PAGE_REPORTING,
  VIRTIO_BALLOON_F_STATS_VQ,
} from "../../src/devices/balloon/constants.ts"
import { type BalloonDevice, makeBalloon } from "../../src/devices/balloon/model.ts"
import type { BalloonOptions } from "../../src/devices/balloon/offer.ts"
import type { VirtioResources } from "../../src/devices/device.ts"
import { type Discard, type DiscardRegion, makeDiscard } from "../../src/memory/discard.ts"
import type { GuestMemory } from "../../src/memory/guest-memory.ts"
import { makeRingMemory, type RingMemory } from "./ring-memory.ts"
import { ALL_FEATURES, type DriverQueue, type FakeResources, fakeResources, VirtioDriver } from "./virtio-driver.ts"

export const PAGE = 4096
export const BALLOON_FEATURES =
  VIRTIO_BALLOON_F_STATS_VQ |
  VIRTIO_BALLOON_F_DEFLATE_ON_OOM |
  VIRTIO_BALLOON_F_FREE_PAGE_HINT |
  VIRTIO_BALLOON_F_PAGE_REPORTING

/** Zeroes what it is given, and throws where the addon would. */
export const zeroing = (memory: GuestMemory, start: number, size: number): DiscardRegion["memory"] => ({
  discard: (ranges) => {
    let end = 0
    let discardedBytes = 0
    for (let at = 0; at < ranges.length; at += 2) {
      const offset = ranges[at] ?? Number.NaN
      const length = ranges[at + 1] ?? Number.NaN
      if (!(offset % PAGE === 0 && length % PAGE === 0 && length > 0)) throw new Error("a range is not of whole pages")
      if (offset < end || offset + length > size) throw new Error("ranges overlap, or leave the mapping")
      end = offset + length
      memory.bytes(start + offset, length)?.fill(0)
      discardedBytes += length
    }
    return { discardedBytes, zeroedBytes: 0 }
  },
})

/** A discard over all of a memory's regions. */
export const fakeDiscard = (memory: GuestMemory, discarded?: VirtioResources["written"]): Discard =>
  makeDiscard(
    memory.regions.map(({ guestAddress, size }) => ({
      guestAddress,
      size,
      memory: zeroing(memory, guestAddress, size),
    })),
    discarded,
  )

export interface BalloonSetup {
  readonly memory: RingMemory
  readonly resources: FakeResources
  readonly scope: Scope.Closeable
  readonly device: BalloonDevice
  readonly driver: VirtioDriver
  /** Calls back at every discard. */
  readonly onDiscard: (listener: () => void) => void
  readonly close: () => void
}

export const everything: BalloonOptions = { deflateOnOom: true, freePageHinting: true, freePageReporting: true }

/** Queue indices with everything offered. */
export const INFLATE = 0
export const DEFLATE = 1
export const STATS = 2
export const HINT = 3
export const REPORT = 4

/** The device, in an effect so that a test's clock is its clock. */
export const balloonSetup = (
  options: BalloonOptions = everything,
  memory: RingMemory = makeRingMemory(0x100000),
): Effect.Effect<BalloonSetup> =>
  Effect.gen(function* () {
    const resources = fakeResources(memory)
    const scope = Scope.makeUnsafe()
    const really = fakeDiscard(memory, resources.written)
    let listener = () => {}
    const discard: Discard = (ranges) => {
      listener()
      return really(ranges)
    }
    const device = yield* Scope.provide(makeBalloon({ ...resources, discard }, options), scope)
    const driver = new VirtioDriver(device.registers, memory)
    return {
      memory,
      resources,
      scope,
      device,
      driver,
      onDiscard: (callback) => {
        listener = callback
      },
      close: () => Effect.runSync(Scope.close(scope, Exit.void)),
    }
  })

/** Negotiates what is offered and sets up queues of `size` from 0x1000. */
export const startDriver = (setup: BalloonSetup, size = 16): readonly DriverQueue[] => {
  const { device, driver } = setup
  const queues = device.queueCount
  driver.write(0x014, 0)
  const offered = BigInt(driver.read(0x010)) & BALLOON_FEATURES
  driver.start(queues, size, ALL_FEATURES | offered)
  return driver.queues
}

/** The same with everything offered, at once. */
export const startedBalloon = (options?: BalloonOptions, memory?: RingMemory) => {
  const setup = Effect.runSync(balloonSetup(options, memory))
  const queues = startDriver(setup)
  return { ...setup, queues }
}

export const putPfns = (memory: RingMemory, at: number, pfns: readonly number[]): void => {
  for (const [index, pfn] of pfns.entries()) memory.view.setUint32(at + 4 * index, pfn, true)
}

/** Writes statistics as Linux does. Returns their length. */
export const putStatistics = (
  memory: RingMemory,
  at: number,
  values: readonly (readonly [number, bigint])[],
): number => {
  for (const [index, [tag, value]] of values.entries()) {
    memory.view.setUint16(at + 10 * index, tag, true)
    memory.view.setBigUint64(at + 10 * index + 2, value, true)
  }
  return 10 * values.length
}
