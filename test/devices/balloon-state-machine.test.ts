import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { readConfigSpace, writtenActual } from "../../src/devices/balloon/config-space.ts"
import {
  acceptsHints,
  BalloonEvent,
  BalloonState,
  Hinting,
  hintCommandId,
  initialState,
  lastRun,
  nextRun,
  pendingPages,
  step,
} from "../../src/devices/balloon/state-machine.ts"

const E = BalloonEvent
const never = Hinting.Stopped({ last: 1 })
const running = (command: number, announced: boolean, acknowledge = true) =>
  Hinting.Running({ command, announced, acknowledge })
const inactive = (fields: Partial<Parameters<typeof BalloonState.Inactive>[0]> = {}) =>
  BalloonState.Inactive({ targetPages: 10, actualPages: 0, statisticsIntervalMs: 0, hinting: never, ...fields })
const active = (fields: Partial<Parameters<typeof BalloonState.Active>[0]> = {}) =>
  BalloonState.Active({
    targetPages: 10,
    actualPages: 4,
    statisticsIntervalMs: 0,
    hinting: never,
    features: 42n,
    heldStatistics: undefined,
    ...fields,
  })

/** State, event, next state; "same" where nothing changes. */
const table: readonly (readonly [BalloonState, BalloonEvent, BalloonState | "same"])[] = [
  [active(), E.PoweredOn({ targetPages: 3, statisticsIntervalMs: 7 }), initialState(3, 7)],
  [inactive(), E.PoweredOn({ targetPages: 3, statisticsIntervalMs: 7 }), initialState(3, 7)],
  [
    active({ heldStatistics: 3 }),
    E.Restored({ targetPages: 1, actualPages: 2, statisticsIntervalMs: 3, hinting: Hinting.Done({ last: 9 }) }),
    inactive({ targetPages: 1, actualPages: 2, statisticsIntervalMs: 3, hinting: Hinting.Done({ last: 9 }) }),
  ],
  [inactive({ actualPages: 4 }), E.DriverReady({ features: 42n }), active()],
  [active(), E.DriverReady({ features: 1n }), "same"],
  [
    active({ heldStatistics: 3, statisticsIntervalMs: 5, hinting: running(2, true) }),
    E.DriverReset(),
    inactive({ statisticsIntervalMs: 5 }),
  ],
  [inactive({ actualPages: 3 }), E.DriverReset(), inactive()],
  [initialState(10, 0), E.DriverReset(), "same"],
  [inactive(), E.TargetSet({ pages: 11 }), inactive({ targetPages: 11 })],
  [active(), E.TargetSet({ pages: 0 }), active({ targetPages: 0 })],
  [active(), E.TargetSet({ pages: 10 }), "same"],
  [active(), E.ActualWritten({ pages: 9 }), active({ actualPages: 9 })],
  [active(), E.ActualWritten({ pages: 4 }), "same"],
  [active(), E.IntervalSet({ milliseconds: 5 }), active({ statisticsIntervalMs: 5 })],
  [inactive(), E.IntervalSet({ milliseconds: 5 }), inactive({ statisticsIntervalMs: 5 })],
  [active({ statisticsIntervalMs: 5 }), E.IntervalSet({ milliseconds: 0 }), active()],
  [active({ statisticsIntervalMs: 5 }), E.IntervalSet({ milliseconds: 5 }), "same"],
  [active(), E.StatisticsHeld({ head: 3 }), active({ heldStatistics: 3 })],
  [active({ heldStatistics: 3 }), E.StatisticsHeld({ head: 4 }), active({ heldStatistics: 4 })],
  [active({ heldStatistics: 3 }), E.StatisticsHeld({ head: 3 }), "same"],
  [inactive(), E.StatisticsHeld({ head: 3 }), "same"],
  [active({ heldStatistics: 3 }), E.StatisticsReturned(), active()],
  [active(), E.StatisticsReturned(), "same"],
  [inactive(), E.StatisticsReturned(), "same"],
  [active(), E.HintingStarted({ acknowledge: true }), active({ hinting: running(2, false) })],
  [inactive(), E.HintingStarted({ acknowledge: true }), "same"],
  [
    active({ hinting: running(2, true) }),
    E.HintingStarted({ acknowledge: false }),
    active({ hinting: running(3, false, false) }),
  ],
  [
    active({ hinting: Hinting.Done({ last: 2 }) }),
    E.HintingStarted({ acknowledge: true }),
    active({ hinting: running(3, false) }),
  ],
  [
    active({ hinting: Hinting.Finished({ command: 5 }) }),
    E.HintingStarted({ acknowledge: true }),
    active({ hinting: running(6, false) }),
  ],
  [active(), E.HintingStopped(), "same"],
  [active({ hinting: Hinting.Done({ last: 2 }) }), E.HintingStopped(), "same"],
  [active({ hinting: running(2, false) }), E.HintingStopped(), active({ hinting: Hinting.Done({ last: 2 }) })],
  [
    active({ hinting: Hinting.Finished({ command: 2 }) }),
    E.HintingStopped(),
    active({ hinting: Hinting.Done({ last: 2 }) }),
  ],
  [active({ hinting: running(2, false) }), E.HintCommand({ command: 2 }), active({ hinting: running(2, true) })],
  [active({ hinting: running(2, true) }), E.HintCommand({ command: 2 }), "same"],
  // The end of the run before, which the driver had not yet sent when the new one started.
  [active({ hinting: running(3, false) }), E.HintCommand({ command: 0 }), "same"],
  [active({ hinting: running(3, false) }), E.HintCommand({ command: 2 }), "same"],
  [active({ hinting: running(3, true) }), E.HintCommand({ command: 2 }), active({ hinting: running(3, false) })],
  [
    active({ hinting: running(3, true) }),
    E.HintCommand({ command: 0 }),
    active({ hinting: Hinting.Done({ last: 3 }) }),
  ],
  [
    active({ hinting: running(3, true) }),
    E.HintCommand({ command: 1 }),
    active({ hinting: Hinting.Done({ last: 3 }) }),
  ],
  [
    active({ hinting: running(3, true, false) }),
    E.HintCommand({ command: 0 }),
    active({ hinting: Hinting.Finished({ command: 3 }) }),
  ],
  [active(), E.HintCommand({ command: 2 }), "same"],
  [active({ hinting: Hinting.Done({ last: 2 }) }), E.HintCommand({ command: 2 }), "same"],
  [active({ hinting: Hinting.Finished({ command: 2 }) }), E.HintCommand({ command: 0 }), "same"],
  [inactive(), E.HintCommand({ command: 2 }), "same"],
]

test("every transition", () => {
  for (const [state, event, expected] of table) {
    const what = `${event._tag} in ${state._tag} with ${JSON.stringify(state.hinting)}`
    const next = step(state, event)
    if (expected === "same") assert.is(next, state, what)
    else assert.equal(next, expected, what)
  }
  const events = new Set(table.map(([state, event]) => `${state._tag} ${event._tag}`))
  const without = ["Active PoweredOn", "Inactive Restored", "Inactive HintingStopped", "Inactive ActualWritten"]
  const all = Object.keys(E)
    .filter((key) => !key.startsWith("$"))
    .flatMap((tag) => [`Active ${tag}`, `Inactive ${tag}`])
  const missing = all.filter((pair) => !events.has(pair) && !without.includes(pair))
  assert.equal(missing, [], "every event in both states")
})

test("ids of runs go on from 2, past what is no run", () => {
  assert.equal([0, 1, 2, 7, 0xfffffffe, 0xffffffff].map(nextRun), [2, 2, 3, 8, 0xffffffff, 2])
  assert.equal(
    [never, running(4, true), Hinting.Finished({ command: 5 }), Hinting.Done({ last: 6 })].map(lastRun),
    [1, 4, 5, 6],
  )
  assert.equal(
    [never, running(4, true), Hinting.Finished({ command: 5 }), Hinting.Done({ last: 6 })].map(hintCommandId),
    [0, 4, 5, 1],
  )
})

test("hints count only in a run that the driver has announced", () => {
  assert.ok(acceptsHints(active({ hinting: running(2, true) })))
  for (const hinting of [never, running(2, false), Hinting.Finished({ command: 2 }), Hinting.Done({ last: 2 })]) {
    assert.not(acceptsHints(active({ hinting })))
  }
  assert.not(acceptsHints(inactive({ hinting: running(2, true) })))
  assert.equal([pendingPages(active()), pendingPages(active({ actualPages: 11 }))], [6, -1])
})

test("only the owner moves the target, whatever the guest writes", () => {
  const state = active({ targetPages: 0x01020304, actualPages: 0x05060708, hinting: running(2, true) })
  const bytes = Array.from({ length: 16 }, (_, at) => readConfigSpace(state, at, 1))
  assert.equal(bytes, [4, 3, 2, 1, 8, 7, 6, 5, 2, 0, 0, 0, 0, 0, 0, 0])
  assert.is(readConfigSpace(state, 0, 4), 0x01020304)
  assert.is(readConfigSpace(state, 2, 2), 0x0102)
  fc.assert(
    fc.property(
      fc.nat(20),
      fc.constantFrom(1 as const, 2 as const, 4 as const),
      fc.nat(0xffffffff),
      (offset, length, raw) => {
        const value = raw % 2 ** (8 * length)
        const actual = writtenActual(state, offset, length, value)
        const written = new DataView(new ArrayBuffer(40))
        written.setUint32(4, state.actualPages, true)
        for (let index = 0; index < length; index++) {
          const at = offset + index
          if (at >= 4 && at < 8) written.setUint8(at, Math.floor(value / 256 ** index) % 256)
        }
        const touches = offset < 8 && offset + length > 4
        assert.is(actual, touches ? written.getUint32(4, true) : undefined)
      },
    ),
  )
})

test.run()
