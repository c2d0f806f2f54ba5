import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { valueDifferences } from "../../src/snapshot/operations/compare-values.ts"

const differences = (a: unknown, b: unknown) => [...valueDifferences(a, b)]

test("fields, entries of arrays and what only one has, each by its path", () => {
  const a = { regs: { rip: 1n, rax: 2n }, cpuid: [{ eax: 1 }, { eax: 2 }], label: "x" }
  const b = { regs: { rip: 1n, rax: 3n }, cpuid: [{ eax: 1 }, { eax: 5 }, { eax: 6 }], kind: null }
  assert.equal(differences(a, b), [
    { path: "regs.rax", a: 2n, b: 3n },
    { path: "cpuid[1].eax", a: 2, b: 5 },
    { path: "cpuid[2]", a: undefined, b: { eax: 6 } },
    { path: "label", a: "x", b: undefined },
    { path: "kind", a: undefined, b: null },
  ])
})

test("bytes by the runs of them that differ; those that are near are one", () => {
  const a = new Uint8Array(64)
  const b = new Uint8Array(64)
  b[3] = 1
  b[8] = 2
  b[40] = 3
  assert.equal(differences({ page: a }, { page: b }), [
    { path: "page[3..9]", a: new Uint8Array(6), b: Uint8Array.of(1, 0, 0, 0, 0, 2) },
    { path: "page[40..41]", a: Uint8Array.of(0), b: Uint8Array.of(3) },
  ])
  assert.equal(differences({ page: a }, { page: b.subarray(1) }), [{ path: "page", a, b: b.subarray(1) }])
})

test("values of another type differ as a whole", () => {
  assert.equal(differences({ a: 1 }, { a: 1n }), [{ path: "a", a: 1, b: 1n }])
  assert.equal(differences({ a: [] }, { a: {} }), [{ path: "a", a: [], b: {} }])
  assert.equal(differences(null, {}), [{ path: "", a: null, b: {} }])
})

/** What a decoded state can hold. */
const state = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.integer(),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.string(),
    fc.constant(null),
    fc.boolean(),
    fc.uint8Array({ maxLength: 40 }),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom("regs", "lapic", "msrs", "queue"), tie("value")),
  ),
})).value

test("a state does not differ from a copy of itself, and any two that differ are seen to", () => {
  fc.assert(
    fc.property(state, (value) => {
      assert.equal(differences(value, structuredClone(value)), [])
    }),
  )
  fc.assert(
    fc.property(state, state, (a, b) => {
      const found = differences(a, b)
      assert.equal(differences(b, a).length, found.length)
      let isSame = true
      try {
        assert.equal(a, b)
      } catch {
        isSame = false
      }
      assert.is(found.length === 0, isSame)
    }),
  )
})

test.run()
