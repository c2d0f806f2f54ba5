/** The balloon of a microVM: that of the machine in its place, whichever that is when it is asked for something. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Balloon } from "../devices/balloon/control.ts"
import type { DeviceClosed } from "../devices/device.ts"
import type { Generation } from "./generation.ts"
import type { Life } from "./life.ts"

const deviceOf = ({ machine }: Generation): Balloon | undefined => machine.balloon?.balloon

const toEnd = <A>(generation: Generation, stream: Stream.Stream<A>): Stream.Stream<A> =>
  Stream.interruptWhen(stream, Effect.exit(Deferred.await(generation.ended)))

const over = (life: Life, first: Balloon): Balloon => {
  let latest = first
  const device = (): Balloon => {
    latest = deviceOf(life.generation) ?? latest
    return latest
  }
  const use = <A, E>(operation: (balloon: Balloon) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => operation(device()))
  const follow = <A>(stream: (balloon: Balloon) => Stream.Stream<A>): Stream.Stream<A> =>
    life.follow((generation) => {
      const own = deviceOf(generation)
      return own === undefined ? Stream.empty : toEnd(generation, stream(own))
    })
  return {
    target: use(({ target }) => target),
    actual: use(({ actual }) => actual),
    states: follow(({ states }) => states),
    get metrics() {
      return device().metrics
    },
    setTarget: (mib) => use(({ setTarget }) => setTarget(mib)),
    waitFor: (mib) => use(({ waitFor }) => waitFor(mib)),
    statistics: (options) => use(({ statistics }) => statistics(options)),
    statisticsStream: follow(({ statisticsStream }) => statisticsStream),
    setPollingInterval: (seconds) => use(({ setPollingInterval }) => setPollingInterval(seconds)),
    startHinting: (options) => use(({ startHinting }) => startHinting(options)),
    stopHinting: use(({ stopHinting }) => stopHinting),
    keepAvailable(options) {
      return Effect.suspend(() => {
        const present = device()
        const goOn = (error: DeviceClosed) => (device() === present ? Effect.fail(error) : this.keepAvailable(options))
        return Effect.catchTag(present.keepAvailable(options), "DeviceClosed", goOn)
      })
    },
  }
}

/**
 * Gives the balloon where the machine of the moment has one. It is always the same object, which works on with the next
 * machine: what waits when a machine is exchanged fails with `DeviceClosed`, streams and `keepAvailable` go on. Kept
 * beyond a machine that has none, it is the ended one of the last that had.
 */
export const lastingBalloon = (life: Life): (() => Balloon | undefined) => {
  let lasting: Balloon | undefined
  return () => {
    const present = deviceOf(life.generation)
    if (present === undefined) return undefined
    lasting ??= over(life, present)
    return lasting
  }
}
