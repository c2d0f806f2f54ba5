import { test } from "uvu"
import * as assert from "uvu/assert"
import type { DirtyLog } from "../../src/memory/dirty-log.ts"
import type { PageBitmaps } from "../../src/memory/page-bitmap.ts"
import { MemoryHistory } from "../../src/snapshot/save/memory-history.ts"
import { bitmapOf } from "../support/page-sets.ts"

const SIZE = 100 * 4096
const setOf = (...pages: readonly number[]): PageBitmaps => [bitmapOf(SIZE, pages)]

/** A machine of one region; `written` is what its log will give. */
class FakeMachine {
  readonly memory = { regions: [{}] }
  readonly discarded = { pages: () => setOf(7) }
  readonly dirtyLog: DirtyLog | undefined
  written: PageBitmaps = setOf()

  constructor(hasLog: boolean) {
    const collect = () => {
      const { written } = this
      this.written = setOf()
      return written
    }
    this.dirtyLog = hasLog ? { written: () => {}, collect } : undefined
  }
}

/** A snapshot that becomes durable, or does not. */
const save = (history: MemoryHistory, digest: string | undefined): void => {
  history.begin()
  if (digest === undefined) history.failed()
  else history.durable(digest)
}

/** How a snapshot that begins now finds what changed since `parent`, and where it looks. */
const search = (history: MemoryHistory, parent: string) => {
  const { tracking, candidates } = history.changesSince(parent)
  history.begin()
  const found = candidates()
  history.failed()
  return [tracking, ...found]
}

const everything = { candidates: "all" } as const

test("a machine that was created has to compare, and to look everywhere", () => {
  const history = new MemoryHistory(new FakeMachine(false), undefined)
  save(history, "a")
  assert.equal(search(history, "a"), ["compare", everything])
})

test("with a log it knows what was written since its last snapshot, and only since that", () => {
  const machine = new FakeMachine(true)
  const history = new MemoryHistory(machine, undefined)
  assert.equal(search(history, "a"), ["compare", everything])
  save(history, "a")
  machine.written = setOf(3)
  save(history, undefined)
  machine.written = setOf(4)
  assert.equal(search(history, "a"), ["dirty-log", { candidates: setOf(3, 4)[0] }])
  save(history, "b")
  assert.equal(search(history, "a"), ["compare", everything])
  assert.equal(search(history, "b"), ["dirty-log", { candidates: setOf()[0] }])
})

test("one that was restored looks at what is its own, or has been", () => {
  const history = new MemoryHistory(new FakeMachine(false), "a")
  assert.equal(search(history, "a"), ["pagemap", { candidates: "written" }])
  assert.equal(search(history, "a copy's"), ["compare", everything])
  save(history, "b")
  assert.equal(search(history, "b"), ["compare", { candidates: "written", discarded: setOf(7)[0] }])
  assert.equal(search(history, "a"), ["pagemap", { candidates: "written" }])
})

test("one that was restored with a log has it from the start, and both for what it was restored from", () => {
  const machine = new FakeMachine(true)
  machine.written = setOf(1)
  const history = new MemoryHistory(machine, "a")
  machine.written = setOf(2)
  assert.equal(search(history, "a"), ["dirty-log", { candidates: setOf(2)[0] }])
  save(history, "b")
  assert.equal(search(history, "a"), ["pagemap", { candidates: "written" }])
})

test("candidates are not to be had before a snapshot has begun", () => {
  const history = new MemoryHistory(new FakeMachine(true), "a")
  assert.throws(() => history.changesSince("a").candidates(), /no snapshot has begun/)
})

test.run()
