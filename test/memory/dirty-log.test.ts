import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { makeDirtyLog } from "../../src/memory/dirty-log.ts"
import type { GuestRegion } from "../../src/memory/guest-memory.ts"
import { PAGE_BYTES } from "../../src/memory/page-bitmap.ts"
import type { NativeMemory } from "../../src/native.ts"
import { bitmapOf, pagesIn } from "../support/page-sets.ts"

const PAGES = 130
const SIZE = PAGES * PAGE_BYTES
const SLOTS = 2

const regions: readonly GuestRegion[] = Array.from({ length: SLOTS }, (_, slot) => ({
  guestAddress: slot * 2 ** 32,
  size: SIZE,
  memory: { size: SIZE } as NativeMemory,
}))

/** What KVM does for a log, and the failures that a test wants of it. */
class FakeKvm {
  readonly hasManualDirtyLog: boolean
  /** Counts down with every call; the one that finds 0 fails. */
  failIn = Number.POSITIVE_INFINITY
  readonly logged = new Set<number>()
  readonly #dirty = regions.map(() => new Set<number>())

  constructor(hasManualDirtyLog: boolean) {
    this.hasManualDirtyLog = hasManualDirtyLog
  }

  guestWrites(slot: number, page: number): void {
    if (this.logged.has(slot)) this.#dirty[slot]!.add(page)
  }

  setMemoryRegion(region: { readonly slot: number; readonly logDirtyPages?: boolean }): void {
    this.#call()
    if (region.logDirtyPages) this.logged.add(region.slot)
  }

  getDirtyLog(slot: number): Uint8Array {
    this.#call()
    const bitmap = bitmapOf(SIZE, this.#dirty[slot]!)
    if (!this.hasManualDirtyLog) this.#dirty[slot]!.clear()
    return bitmap
  }

  clearDirtyLog(slot: number, bitmap: Uint8Array): void {
    this.#call()
    if (!this.hasManualDirtyLog) return
    for (const page of pagesIn(bitmap)) this.#dirty[slot]!.delete(page)
  }

  #call(): void {
    if (this.failIn-- === 0) throw new Error("KVM does not want to")
  }
}

const anyPage = fc.record({ slot: fc.nat(SLOTS - 1), page: fc.nat(PAGES - 1) })
const anyAct = fc.oneof(
  fc.record({ kind: fc.constant("guest" as const), at: anyPage }),
  fc.record({ kind: fc.constant("device" as const), at: anyPage }),
  fc.record({ kind: fc.constant("collect" as const), failIn: fc.option(fc.nat(8)) }),
)

test("a look gives exactly what was written since the last one that succeeded", () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(anyAct, { maxLength: 60 }), (manual, acts) => {
      const kvm = new FakeKvm(manual)
      const log = makeDirtyLog(kvm, regions)
      log.collect()
      const expected = regions.map(() => new Set<number>())
      for (const act of [...acts, { kind: "collect" as const, failIn: null }]) {
        if (act.kind === "collect") {
          kvm.failIn = act.failIn ?? Number.POSITIVE_INFINITY
          const collected = attempt(() => log.collect())
          if (collected === undefined) continue
          assert.equal(
            collected.map(pagesIn),
            expected.map((pages) => [...pages].sort((a, b) => a - b)),
          )
          for (const pages of expected) pages.clear()
          continue
        }
        const { slot, page } = act.at
        expected[slot]!.add(page)
        if (act.kind === "guest") kvm.guestWrites(slot, page)
        else log.written(regions[slot]!.guestAddress + page * PAGE_BYTES + 17, 8)
      }
    }),
  )
})

test("nothing is logged before the first look, and everything after it, though it failed at first", () => {
  const kvm = new FakeKvm(true)
  const log = makeDirtyLog(kvm, regions)
  assert.is(kvm.logged.size, 0)
  kvm.failIn = 1
  assert.throws(() => log.collect(), /does not want to/)
  kvm.failIn = Number.POSITIVE_INFINITY
  log.collect()
  assert.is(kvm.logged.size, SLOTS)
})

const attempt = <A>(work: () => A): A | undefined => {
  try {
    return work()
  } catch {
    return undefined
  }
}

test.run()
