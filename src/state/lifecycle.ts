/**
 * The life of a machine, as data.
 *
 * ```
 *   Configured --Start--> Running <--Resume-- Paused
 *                            '------Pause-------^
 *   any but Stopped --Fail--> Failed          any --Stop--> Stopped
 *   any but Stopped --Exchanged--> what the machine is in that took the place
 * ```
 *
 * A restored machine begins paused. Stop on a stopped machine changes nothing, and so does a further failure of a failed one: the first is the cause.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"

export type LifecycleState = Data.TaggedEnum<{
  // biome-ignore lint/complexity/noBannedTypes: how Data.TaggedEnum writes a case without fields
  Configured: {}
  // biome-ignore lint/complexity/noBannedTypes: as above
  Running: {}
  // biome-ignore lint/complexity/noBannedTypes: as above
  Paused: {}
  // biome-ignore lint/complexity/noBannedTypes: as above
  Stopped: {}
  Failed: { readonly error: unknown }
}>
export const LifecycleState = Data.taggedEnum<LifecycleState>()

export type LifecycleEvent = Data.TaggedEnum<{
  // biome-ignore lint/complexity/noBannedTypes: as above
  Start: {}
  // biome-ignore lint/complexity/noBannedTypes: as above
  Pause: {}
  // biome-ignore lint/complexity/noBannedTypes: as above
  Resume: {}
  // biome-ignore lint/complexity/noBannedTypes: as above
  Stop: {}
  Fail: { readonly error: unknown }
  /** Another machine is in the place: one from a snapshot, or the one that was there before. */
  Exchanged: { readonly state: LifecycleState }
}>
export const LifecycleEvent = Data.taggedEnum<LifecycleEvent>()

type StateName = LifecycleState["_tag"]
type EventName = LifecycleEvent["_tag"]

/** The states in which each event is allowed. */
const ALLOWED: Readonly<Record<EventName, readonly StateName[]>> = {
  Start: ["Configured"],
  Pause: ["Running"],
  Resume: ["Paused"],
  Stop: ["Configured", "Running", "Paused", "Stopped", "Failed"],
  Fail: ["Configured", "Running", "Paused", "Failed"],
  Exchanged: ["Configured", "Running", "Paused", "Failed"],
}

/** An operation was asked for in a state of the machine that does not allow it. The state is unchanged. */
export class WrongState extends Data.TaggedError("WrongState")<{
  readonly message: string
  readonly from: StateName
  readonly event: EventName
  readonly allowedFrom: readonly StateName[]
}> {
  readonly code = "CRYOVM_WRONG_STATE"
}

const next = (state: LifecycleState, event: LifecycleEvent): LifecycleState => {
  switch (event._tag) {
    case "Start":
    case "Resume":
      return LifecycleState.Running()
    case "Pause":
      return LifecycleState.Paused()
    case "Stop":
      return state._tag === "Stopped" ? state : LifecycleState.Stopped()
    case "Fail":
      return state._tag === "Failed" ? state : LifecycleState.Failed({ error: event.error })
    case "Exchanged":
      return event.state._tag === state._tag && state._tag !== "Failed" ? state : event.state
  }
}

/** The state after an event, the same object where nothing changes, or none where the event is not allowed. */
export const step = (state: LifecycleState, event: LifecycleEvent): Option.Option<LifecycleState> =>
  ALLOWED[event._tag].includes(state._tag) ? Option.some(next(state, event)) : Option.none()

const VERB: Readonly<Record<EventName, string>> = {
  Start: "start",
  Pause: "pause",
  Resume: "resume",
  Stop: "stop",
  Fail: "fail",
  Exchanged: "roll back",
}

/** The error for an event that a state does not allow. */
export const wrongState = (from: StateName, event: EventName): WrongState => {
  const allowedFrom = ALLOWED[event]
  const allowed = allowedFrom.map((name) => name.toLowerCase()).join(", ")
  return new WrongState({
    message: `cannot ${VERB[event]} a machine that is ${from.toLowerCase()}: it has to be ${allowed}`,
    from,
    event,
    allowedFrom,
  })
}

/** A state that can be watched, and changed only by events. Made by {@link makeLifecycle}. */
export interface Lifecycle {
  readonly current: Effect.Effect<LifecycleState>
  /** The same at once, for a plain getter. */
  readonly get: () => LifecycleState
  /** The current state and each later one; nothing is dropped for a slow reader. Ends after `Stopped`. */
  readonly changes: Stream.Stream<LifecycleState>
  /** Takes an event; gives the state after it. Events are taken one after the other. */
  readonly dispatch: (event: LifecycleEvent) => Effect.Effect<LifecycleState, WrongState>
}

export const makeLifecycle = (initial: LifecycleState = LifecycleState.Configured()): Effect.Effect<Lifecycle> =>
  Effect.map(SubscriptionRef.make(initial), (ref) => ({
    current: SubscriptionRef.get(ref),
    get: () => SubscriptionRef.getUnsafe(ref),
    changes: SubscriptionRef.changes(ref).pipe(Stream.takeUntil((state) => state._tag === "Stopped")),
    dispatch: (event) =>
      SubscriptionRef.modifySomeEffect(ref, (state) =>
        Option.match(step(state, event), {
          onNone: () => Effect.fail(wrongState(state._tag, event._tag)),
          onSome: (after) => Effect.succeed([after, after === state ? Option.none() : Option.some(after)] as const),
        }),
      ),
  }))
