import * as Schema from "effect/Schema"
import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { component, StateDowngradeLossy, StateInvalid, StateVersionUnsupported } from "../../src/state/component.ts"
import { encodeMsgpack } from "../../src/state/msgpack.ts"
import { U8, U32, U64 } from "../../src/state/primitives.ts"
import { thrownBy } from "./samples.ts"

const Base = component("lamp", Schema.Struct({ on: Schema.Boolean, switched: U64 }))
const WithLevel = Base.evolve(Schema.Struct({ level: U8, switched: U64 }), {
  up: ({ on, switched }) => ({ level: on ? 255 : 0, switched }),
  down: ({ level, switched }) => (level === 0 || level === 255 ? { on: level === 255, switched } : undefined),
})
const Head = WithLevel.evolve(Schema.Struct({ level: U8, switched: U64, colour: U32 }), {
  up: (lamp) => ({ ...lamp, colour: 0xffffff }),
  down: ({ colour, ...lamp }) => (colour === 0xffffff ? lamp : undefined),
})

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })
const base = fc.record({ on: fc.boolean(), switched: u64 }, { noNullPrototype: true })
const head = fc.record(
  { level: fc.integer({ min: 0, max: 255 }), switched: u64, colour: fc.integer({ min: 0, max: 2 ** 32 - 1 }) },
  { noNullPrototype: true },
)

test("the current version comes back as it was", () => {
  fc.assert(fc.property(head, (state) => assert.equal(Head.decode(Head.encode(state)), state)))
})

test("64-bit fields are exact everywhere, the ends of the safe integers included", () => {
  for (const power of [0n, 8n, 16n, 31n, 32n, 52n, 53n, 54n, 63n]) {
    for (const switched of [2n ** power - 1n, 2n ** power, 2n ** power + 1n, 2n ** 64n - 2n ** power]) {
      const state = { on: true, switched }
      assert.equal(Base.decode(Base.encode(state)), state)
    }
  }
  const tooLarge = { on: true, switched: 2n ** 64n }
  assert.instance(
    thrownBy(() => Base.encode(tooLarge)),
    StateInvalid,
  )
})

test("the oldest version, read and written back as the oldest, has the same bytes", () => {
  fc.assert(
    fc.property(base, (state) => {
      const old = Base.encode(state)
      const current = Head.decode(old)
      assert.equal(Head.encode(current, 1), old)
      assert.equal(Base.decode(Head.encode(current, 1)), state)
    }),
  )
})

test("each version is read by each later one", () => {
  fc.assert(
    fc.property(base, ({ on, switched }) => {
      const middle = { level: on ? 255 : 0, switched }
      const expected = { ...middle, colour: 0xffffff }
      assert.equal(Head.decode(Base.encode({ on, switched })), expected)
      assert.equal(Head.decode(WithLevel.encode(middle)), expected)
      assert.equal(WithLevel.decode(Base.encode({ on, switched })), middle)
    }),
  )
})

test("what an older version cannot hold is not written in it", () => {
  const dimmed = { level: 100, switched: 1n, colour: 0xffffff }
  assert.is(Head.encode(dimmed, 2).version, 2)
  const error = thrownBy(() => Head.encode(dimmed, 1))
  assert.instance(error, StateDowngradeLossy)
  assert.is(error.message, "lamp state of version 2 cannot be written as version 1 without loss")
  assert.instance(
    thrownBy(() => Head.encode({ ...dimmed, colour: 1 }, 2)),
    StateDowngradeLossy,
  )
})

test("a step without a way back cannot be written older", () => {
  const OneWay = Base.evolve(Schema.Struct({ on: Schema.Boolean }), { up: ({ on }) => ({ on }) })
  assert.instance(
    thrownBy(() => OneWay.encode({ on: true }, 1)),
    StateDowngradeLossy,
  )
})

test("versions that do not exist are refused in both directions", () => {
  const { payload } = Head.encode({ level: 0, switched: 0n, colour: 0 })
  for (const version of [0, 4, -1, 1.5, Number.NaN, 2 ** 32]) {
    assert.instance(
      thrownBy(() => Head.decode({ version, payload })),
      StateVersionUnsupported,
    )
    assert.instance(
      thrownBy(() => Head.encode({ level: 0, switched: 0n, colour: 0 }, version)),
      StateVersionUnsupported,
    )
  }
})

test("fields that are unknown, missing or out of range are refused by name", () => {
  const good = { level: 1, switched: 2n, colour: 3 }
  const bad: [unknown, RegExp][] = [
    [{ ...good, extra: 1 }, /extra/],
    [{ level: 1, switched: 2n }, /colour/],
    [{ ...good, level: 256 }, /level/],
    [{ ...good, switched: -1 }, /switched/],
    [{ ...good, switched: 1.5 }, /switched/],
    [{ ...good, colour: "red" }, /colour/],
    [[1, 2], /lamp/],
  ]
  for (const [value, message] of bad) {
    const error = thrownBy(() => Head.decode({ version: 3, payload: encodeMsgpack(value) }))
    assert.instance(error, StateInvalid)
    assert.match(error.message, message)
  }
})

test("a migrated state has to fit the current schema too", () => {
  const Loose = component("loose", Schema.Struct({ n: U32 }))
  const Tight = Loose.evolve(Schema.Struct({ n: U8 }), { up: (state) => state, down: (state) => state })
  assert.equal(Tight.decode(Loose.encode({ n: 255 })), { n: 255 })
  assert.instance(
    thrownBy(() => Tight.decode(Loose.encode({ n: 256 }))),
    StateInvalid,
  )
})

test("a step that throws, payloads that are no msgpack, and states that it cannot hold, are typed errors", () => {
  const Throwing = Base.evolve(Schema.Struct({ on: Schema.Boolean }), {
    up: () => {
      throw new RangeError("no")
    },
  })
  assert.instance(
    thrownBy(() => Throwing.decode(Base.encode({ on: true, switched: 0n }))),
    StateInvalid,
  )
  for (const payload of [new Uint8Array(0), Uint8Array.of(0xc1), new Uint8Array(1_000_000).fill(0x91)]) {
    assert.instance(
      thrownBy(() => Head.decode({ version: 3, payload })),
      StateInvalid,
    )
  }
  const Text = component("text", Schema.String)
  assert.instance(
    thrownBy(() => Text.encode("\ud800")),
    StateInvalid,
  )
})

test.run()
