/** What the owner of a machine does with its balloon, as Effects. `promise.ts` has the same words as Promises. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { DeviceClosed } from "../device.ts"
import {
  BALLOON_PAGE_SIZE,
  PAGES_A_MIB,
  VIRTIO_BALLOON_F_FREE_PAGE_HINT,
  VIRTIO_BALLOON_F_STATS_VQ,
} from "./constants.ts"
import { BalloonFeatureMissing, BalloonInactive, BalloonIntervalInvalid, BalloonTargetInvalid } from "./errors.ts"
import { intervalMs, isInterval, MAX_INTERVAL_SECONDS, MIN_INTERVAL_SECONDS } from "./interval.ts"
import type { BalloonMetrics } from "./metrics.ts"
import type { BalloonModel } from "./model.ts"
import { type KeepAvailableOptions, keepAvailable, type PolicyError } from "./policy.ts"
import type { BalloonState } from "./state-machine.ts"
import type { BalloonStatistics } from "./statistics.ts"

/** States that a slow reader of the stream may be behind before it loses the oldest. */
const STATES_KEPT = 64

/** Waiting ended with the machine, or cannot succeed with this balloon or this driver. */
export type StatisticsError = BalloonFeatureMissing | DeviceClosed

/** A machine's balloon. Sizes are in MiB of the guest's memory. */
export interface Balloon {
  /** What the guest is asked to give back. */
  readonly target: Effect.Effect<number>
  /** What the guest says it has given. */
  readonly actual: Effect.Effect<number>
  /** The device's state and every later one; a slow reader loses the oldest of 64. */
  readonly states: Stream.Stream<BalloonState>
  readonly metrics: Readonly<BalloonMetrics>
  /**
   * Asks the guest to give back `mib` MiB in all, and takes back what it has more. The guest follows in its own time,
   * see `waitFor`; without a driver the target waits for one.
   */
  readonly setTarget: (mib: number) => Effect.Effect<void, BalloonTargetInvalid | DeviceClosed>
  /** Waits until the guest has given exactly `mib` MiB; by default, what is the target at each moment. */
  readonly waitFor: (mib?: number) => Effect.Effect<void, BalloonTargetInvalid | DeviceClosed>
  /**
   * The latest statistics, or the first as soon as there are any.
   * @param options.refresh ask the guest for new ones, and wait for them
   */
  readonly statistics: (options?: { readonly refresh?: boolean }) => Effect.Effect<BalloonStatistics, StatisticsError>
  /** Statistics as the guest tells them; ends with the machine. A slow reader loses the oldest of 64. */
  readonly statisticsStream: Stream.Stream<BalloonStatistics>
  /**
   * Changes how often the guest is asked for statistics, at run time and between none (0) and some as well. Another
   * interval asks at once.
   */
  readonly setPollingInterval: (
    seconds: number,
  ) => Effect.Effect<void, BalloonIntervalInvalid | BalloonFeatureMissing | DeviceClosed>
  /**
   * Starts a run of free page hinting: the guest names what it has free, which is given back to the host.
   * @param options.acknowledge let the guest use its pages again when the run ends by itself; true by default, else at
   *   `stopHinting`
   */
  readonly startHinting: (options?: {
    readonly acknowledge?: boolean
  }) => Effect.Effect<void, BalloonFeatureMissing | BalloonInactive | DeviceClosed>
  /** Ends the run, if there is one, and lets the guest use its pages again. */
  readonly stopHinting: Effect.Effect<void, BalloonFeatureMissing | BalloonInactive | DeviceClosed>
  /** Keeps the guest's available memory between two marks, until it is interrupted. See `policy.ts`. */
  readonly keepAvailable: (options: KeepAvailableOptions) => Effect.Effect<never, PolicyError>
}

const toMib = (pages: number): number => pages / PAGES_A_MIB

/** Wraps a model. */
export const makeBalloonControl = (model: BalloonModel): Balloon => {
  const device = model.id
  const memoryMib = model.memoryBytes / BALLOON_PAGE_SIZE / PAGES_A_MIB

  const closed = (): DeviceClosed => new DeviceClosed({ message: `${device} has ended with its machine`, device })

  const open = <A, E>(then: () => Effect.Effect<A, E>): Effect.Effect<A, E | DeviceClosed> =>
    Effect.suspend((): Effect.Effect<A, E | DeviceClosed> => (model.closed ? Effect.fail(closed()) : then()))

  /** Looks now and after every change, until there is something. */
  const until = <A, E>(look: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E | DeviceClosed> =>
    Effect.callback<A, E | DeviceClosed>((resume) => {
      const attempt = (): boolean => {
        const found = model.closed ? Effect.fail(closed()) : look()
        if (found !== undefined) resume(found)
        return found !== undefined
      }
      if (attempt()) return Effect.void
      const stop = model.watch(() => {
        if (attempt()) stop()
      })
      return Effect.sync(stop)
    })

  const pagesOf = (mib: number): Effect.Effect<number, BalloonTargetInvalid> => {
    const pages = mib * PAGES_A_MIB
    if (Number.isInteger(pages) && mib >= 0 && mib <= memoryMib) return Effect.succeed(pages)
    const message = `${device}: a target is a whole number of 4 KiB pages from 0 to ${memoryMib} MiB, not ${mib} MiB`
    return Effect.fail(new BalloonTargetInvalid({ message, device, targetMib: mib, memoryMib }))
  }

  const missing = (
    feature: BalloonFeatureMissing["feature"],
    missingIn: BalloonFeatureMissing["missingIn"],
  ): BalloonFeatureMissing => {
    const why =
      missingIn === "configuration"
        ? `the machine was made without devices.balloon.${feature}`
        : "the guest's driver does not take it"
    return new BalloonFeatureMissing({ message: `${device}: no ${feature}: ${why}`, device, feature, missingIn })
  }

  const lacking = (feature: BalloonFeatureMissing["feature"]): BalloonFeatureMissing | undefined => {
    const bit = feature === "statistics" ? VIRTIO_BALLOON_F_STATS_VQ : VIRTIO_BALLOON_F_FREE_PAGE_HINT
    const { offered, taken } = model.feature(bit)
    if (!offered) return missing(feature, "configuration")
    return taken === false ? missing(feature, "driver") : undefined
  }

  const hinting = (act: () => void): Effect.Effect<void, BalloonFeatureMissing | BalloonInactive | DeviceClosed> =>
    open((): Effect.Effect<void, BalloonFeatureMissing | BalloonInactive> => {
      const error = lacking("freePageHinting")
      if (error !== undefined) return Effect.fail(error)
      if (model.state._tag === "Inactive") {
        return Effect.fail(new BalloonInactive({ message: `${device}: no driver is there`, device }))
      }
      return Effect.sync(act)
    })

  const statistics: Balloon["statistics"] = (options = {}) =>
    open(() => {
      const before = model.metrics.statisticsReadings
      // A refresh asked for before there is a driver is met by the first reading.
      if (options.refresh === true) model.requestStatistics()
      return until((): Effect.Effect<BalloonStatistics, BalloonFeatureMissing> | undefined => {
        const error = lacking("statistics")
        if (error !== undefined) return Effect.fail(error)
        if (options.refresh === true && model.metrics.statisticsReadings === before) return undefined
        const latest = model.statistics.latest()
        return latest && Effect.succeed(latest)
      })
    })

  const balloon: Balloon = {
    target: Effect.sync(() => toMib(model.state.targetPages)),
    actual: Effect.sync(() => toMib(model.state.actualPages)),
    states: SubscriptionRef.changes(model.stateRef).pipe(Stream.buffer({ capacity: STATES_KEPT, strategy: "sliding" })),
    metrics: model.metrics,
    setTarget: (mib) => open(() => Effect.map(pagesOf(mib), (pages) => model.setTarget(pages))),
    waitFor: (mib) =>
      open(() =>
        Effect.flatMap(mib === undefined ? Effect.succeed(undefined) : pagesOf(mib), (pages) =>
          until(() => (model.state.actualPages === (pages ?? model.state.targetPages) ? Effect.void : undefined)),
        ),
      ),
    statistics,
    statisticsStream: Stream.fromPubSub(model.readings),
    setPollingInterval: (seconds) =>
      open((): Effect.Effect<void, BalloonIntervalInvalid | BalloonFeatureMissing> => {
        if (!isInterval(seconds)) {
          const message = `${device}: an interval is 0, or ${MIN_INTERVAL_SECONDS} to ${MAX_INTERVAL_SECONDS} seconds, not ${seconds}`
          return Effect.fail(new BalloonIntervalInvalid({ message, device, seconds }))
        }
        const { offered } = model.feature(VIRTIO_BALLOON_F_STATS_VQ)
        if (!offered && seconds > 0) return Effect.fail(missing("statistics", "configuration"))
        return Effect.sync(() => model.setInterval(intervalMs(seconds)))
      }),
    startHinting: (options = {}) => hinting(() => model.startHinting(options.acknowledge ?? true)),
    stopHinting: hinting(() => model.stopHinting()),
    keepAvailable: (options) => keepAvailable(balloon, memoryMib, options),
  }
  return balloon
}
