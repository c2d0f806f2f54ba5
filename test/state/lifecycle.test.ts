import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { test } from "uvu"
import * as assert from "uvu/assert"
import {
  LifecycleEvent as Event,
  type LifecycleEvent,
  type LifecycleState,
  makeLifecycle,
  LifecycleState as State,
  step,
  WrongState,
} from "../../src/state/lifecycle.ts"

const first = new Error("first")
const second = new Error("second")
const states = [State.Configured(), State.Running(), State.Paused(), State.Stopped(), State.Failed({ error: first })]
const events = [
  Event.Start(),
  Event.Pause(),
  Event.Resume(),
  Event.Stop(),
  Event.Fail({ error: second }),
  Event.Exchanged({ state: State.Paused() }),
]

const table: Record<LifecycleState["_tag"], Record<LifecycleEvent["_tag"], LifecycleState["_tag"] | "-">> = {
  Configured: { Start: "Running", Pause: "-", Resume: "-", Stop: "Stopped", Fail: "Failed", Exchanged: "Paused" },
  Running: { Start: "-", Pause: "Paused", Resume: "-", Stop: "Stopped", Fail: "Failed", Exchanged: "Paused" },
  Paused: { Start: "-", Pause: "-", Resume: "Running", Stop: "Stopped", Fail: "Failed", Exchanged: "Paused" },
  Stopped: { Start: "-", Pause: "-", Resume: "-", Stop: "Stopped", Fail: "-", Exchanged: "-" },
  Failed: { Start: "-", Pause: "-", Resume: "-", Stop: "Stopped", Fail: "Failed", Exchanged: "Paused" },
}

for (const state of states) {
  for (const event of events) {
    const expected = table[state._tag][event._tag]
    test(`${state._tag}, ${event._tag}: ${expected}`, async () => {
      const after = Option.getOrUndefined(step(state, event))
      assert.is(after?._tag ?? "-", expected)
      const lifecycle = await Effect.runPromise(makeLifecycle(state))
      const result = await Effect.runPromise(Effect.result(lifecycle.dispatch(event)))
      if (result._tag === "Success") {
        assert.is(result.success._tag, expected)
        assert.is(lifecycle.get(), result.success)
      } else {
        assert.is(expected, "-")
        assert.instance(result.failure, WrongState)
        assert.is(result.failure.code, "CRYOVM_WRONG_STATE")
        assert.is(result.failure.from, state._tag)
        assert.is(result.failure.event, event._tag)
        assert.ok(result.failure.allowedFrom.length > 0)
        assert.not(result.failure.allowedFrom.includes(state._tag))
        assert.is(lifecycle.get(), state)
      }
    })
  }
}

test("the first failure is kept", () => {
  const failed = Option.getOrThrow(step(State.Running(), Event.Fail({ error: first })))
  const again = Option.getOrThrow(step(failed, Event.Fail({ error: second })))
  assert.is(again, failed)
})

test("a machine that comes back into its place is in the state that it was in", () => {
  for (const state of states.filter(({ _tag }) => _tag !== "Stopped")) {
    const trial = Option.getOrThrow(step(state, Event.Exchanged({ state: State.Paused() })))
    const after = Option.getOrThrow(step(trial, Event.Exchanged({ state })))
    assert.equal(after, state)
  }
  const paused = State.Paused()
  assert.is(Option.getOrThrow(step(paused, Event.Exchanged({ state: State.Paused() }))), paused, "nothing changes")
})

test("the message says what was asked, in which state, and what would be right", async () => {
  const lifecycle = await Effect.runPromise(makeLifecycle(State.Stopped()))
  const error = await Effect.runPromise(Effect.flip(lifecycle.dispatch(Event.Pause())))
  assert.is(error.message, "cannot pause a machine that is stopped: it has to be running")
})

test("every state is seen once, in order, and the stream ends when the machine stops", async () => {
  const seen = await Effect.runPromise(
    Effect.gen(function* () {
      const lifecycle = yield* makeLifecycle()
      const watcher = yield* Effect.forkChild(Stream.runCollect(lifecycle.changes), { startImmediately: true })
      for (const event of [Event.Start(), Event.Pause(), Event.Resume(), Event.Stop()]) yield* lifecycle.dispatch(event)
      yield* lifecycle.dispatch(Event.Stop())
      assert.is((yield* lifecycle.current)._tag, "Stopped")
      return yield* Fiber.join(watcher)
    }),
  )
  assert.equal(
    seen.map(({ _tag }) => _tag),
    ["Configured", "Running", "Paused", "Running", "Stopped"],
  )
})

test("events sent together are taken one after the other", async () => {
  const results = await Effect.runPromise(
    Effect.gen(function* () {
      const lifecycle = yield* makeLifecycle(State.Running())
      const pauses = Array.from({ length: 10 }, () => Effect.result(lifecycle.dispatch(Event.Pause())))
      return yield* Effect.all(pauses, { concurrency: "unbounded" })
    }),
  )
  assert.is(results.filter(({ _tag }) => _tag === "Success").length, 1)
})

test.run()
