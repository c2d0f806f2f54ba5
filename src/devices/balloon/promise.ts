/** The balloon as Promises, word for word what `control.ts` gives as Effects. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { type AbortOptions, run } from "../../promise.ts"
import type { Balloon as BalloonControl } from "./control.ts"
import type { BalloonMetrics } from "./metrics.ts"
import type { KeepAvailableOptions } from "./policy.ts"
import type { BalloonState } from "./state-machine.ts"
import type { BalloonStatistics } from "./statistics.ts"

/** A machine's balloon. Sizes are in MiB of the guest's memory. */
export class Balloon {
  readonly #balloon: BalloonControl

  constructor(balloon: BalloonControl) {
    this.#balloon = balloon
  }

  /** What the guest is asked to give back. */
  get target(): number {
    return Effect.runSync(this.#balloon.target)
  }

  /** What the guest says it has given. */
  get actual(): number {
    return Effect.runSync(this.#balloon.actual)
  }

  /** What the device counted. */
  get metrics(): Readonly<BalloonMetrics> {
    return this.#balloon.metrics
  }

  /** The device's state and every later one; a slow reader loses the oldest of 64. Each loop has its own. */
  get states(): AsyncIterable<BalloonState> {
    return Stream.toAsyncIterable(this.#balloon.states)
  }

  /**
   * Asks the guest to give back `mib` MiB in all, and takes back what it has more. The guest follows in its own time,
   * see `waitFor`; without a driver the target waits for one.
   * @throws BalloonTargetInvalid
   */
  setTarget(mib: number, options?: AbortOptions): Promise<void> {
    return run(this.#balloon.setTarget(mib), options)
  }

  /** Waits until the guest has given exactly `mib` MiB; by default, what is the target at each moment. */
  waitFor(mib?: number, options?: AbortOptions): Promise<void> {
    return run(this.#balloon.waitFor(mib), options)
  }

  /**
   * The latest statistics, or the first as soon as there are any.
   * @param options.refresh ask the guest for new ones, and wait for them
   * @throws BalloonFeatureMissing
   */
  statistics(options: { readonly refresh?: boolean } & AbortOptions = {}): Promise<BalloonStatistics> {
    return run(this.#balloon.statistics(options), options)
  }

  /** Statistics as the guest tells them; ends with the machine. A slow reader loses the oldest of 64. */
  get statisticsStream(): AsyncIterable<BalloonStatistics> {
    return Stream.toAsyncIterable(this.#balloon.statisticsStream)
  }

  /**
   * Changes how often the guest is asked for statistics, at run time and between none (0) and some as well. Another
   * interval asks at once.
   * @throws BalloonIntervalInvalid, BalloonFeatureMissing
   */
  setPollingInterval(seconds: number, options?: AbortOptions): Promise<void> {
    return run(this.#balloon.setPollingInterval(seconds), options)
  }

  /**
   * Starts a run of free page hinting: the guest names what it has free, which is given back to the host.
   * @param options.acknowledge let the guest use its pages again when the run ends by itself; true by default, else at
   *   `stopHinting`
   * @throws BalloonFeatureMissing, BalloonInactive
   */
  startHinting(options: { readonly acknowledge?: boolean } & AbortOptions = {}): Promise<void> {
    return run(this.#balloon.startHinting(options), options)
  }

  /** Ends the run, if there is one, and lets the guest use its pages again. */
  stopHinting(options?: AbortOptions): Promise<void> {
    return run(this.#balloon.stopHinting, options)
  }

  /**
   * Keeps the guest's available memory between two marks until `signal` ends it; rejects with its reason, then.
   * @throws BalloonPolicyInvalid, BalloonFeatureMissing
   */
  keepAvailable(options: KeepAvailableOptions & AbortOptions): Promise<never> {
    return run(this.#balloon.keepAvailable(options), options)
  }
}
