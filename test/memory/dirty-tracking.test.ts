import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { step, Tracking, TrackingEvent } from "../../src/memory/dirty-tracking.ts"
import { PAGE_BYTES } from "../../src/memory/page-bitmap.ts"
import { bitmapOf, pagesIn } from "../support/page-sets.ts"

const PAGES = 80
const setOf = (pages: Iterable<number>) => [bitmapOf(PAGES * PAGE_BYTES, pages)]

type Act = { readonly kind: "write"; readonly page: number } | { readonly kind: "begin" | "durable" | "fail" }

const anyAct: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("write" as const), page: fc.nat(PAGES - 1) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("begin" as const, "durable" as const, "fail" as const) }) },
)

/** The log and the tracker, beside a history of every page's last write. */
class Machine {
  tracking: Tracking = Tracking.Untracked()
  #log = new Set<number>()
  #now = 0
  readonly #lastWrite = new Map<number, number>()
  /** When each snapshot was begun, by its digest. */
  readonly #snapshots = new Map<string, number>()
  #begun = 0

  act(act: Act): void {
    this.#now++
    if (act.kind === "write") {
      this.#log.add(act.page)
      this.#lastWrite.set(act.page, this.#now)
    } else if (act.kind === "begin") {
      this.tracking = step(this.tracking, TrackingEvent.Began({ collected: setOf(this.#log) }))
      this.#log = new Set()
      this.#begun = this.#now
    } else if (act.kind === "fail") this.tracking = step(this.tracking, TrackingEvent.Failed())
    else {
      const digest = String(this.#now)
      this.tracking = step(this.tracking, TrackingEvent.Durable({ digest }))
      this.#snapshots.set(digest, this.#begun)
    }
  }

  writtenSince(parent: string): number[] {
    const since = this.#snapshots.get(parent) ?? Number.NaN
    return [...this.#lastWrite].flatMap(([page, at]) => (at > since ? [page] : [])).sort((a, b) => a - b)
  }
}

test("at the beginning of a snapshot its pages are exactly those written since the parent, whatever failed in between", () => {
  fc.assert(
    fc.property(fc.array(anyAct, { maxLength: 80 }), (acts) => {
      const machine = new Machine()
      for (const act of acts) {
        machine.act(act)
        const { tracking } = machine
        if (act.kind !== "begin" || tracking._tag !== "Saving" || tracking.parent === undefined) continue
        assert.equal(pagesIn(tracking.pages[0]!), machine.writtenSince(tracking.parent))
      }
    }),
    { numRuns: 500 },
  )
})

test("a snapshot becomes the parent only when it is durable", () => {
  const collected = setOf([1])
  const first = step(Tracking.Untracked(), TrackingEvent.Began({ collected }))
  assert.equal(step(first, TrackingEvent.Failed()), Tracking.Untracked())
  const tracked = step(first, TrackingEvent.Durable({ digest: "a" }))
  assert.equal(tracked, Tracking.Tracked({ parent: "a", unsaved: undefined }))
  const second = step(tracked, TrackingEvent.Began({ collected: setOf([2]) }))
  assert.equal(second, Tracking.Saving({ parent: "a", pages: setOf([2]) }))
  assert.equal(step(second, TrackingEvent.Failed()), Tracking.Tracked({ parent: "a", unsaved: setOf([2]) }))
  assert.equal(
    step(second, TrackingEvent.Durable({ digest: "b" })),
    Tracking.Tracked({ parent: "b", unsaved: undefined }),
  )
})

test("the end of a snapshot that never began changes nothing", () => {
  for (const state of [Tracking.Untracked(), Tracking.Tracked({ parent: "a", unsaved: setOf([3]) })]) {
    assert.is(step(state, TrackingEvent.Durable({ digest: "b" })), state)
    assert.is(step(state, TrackingEvent.Failed()), state)
  }
})

test.run()
