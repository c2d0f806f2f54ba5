import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { decodeMsgpack, encodeMsgpack, MsgpackInvalid } from "../../src/state/msgpack.ts"
import { thrownBy } from "./samples.ts"

const key = fc.string({ unit: "grapheme" }).filter((value) => value !== "__proto__")
const scalar = fc.oneof(
  fc.boolean(),
  fc.constant(null),
  fc.string({ unit: "grapheme" }),
  fc.integer(),
  fc.double({ noNaN: true }),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  fc.uint8Array(),
)
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalar,
    fc.array(tie("tree"), { maxLength: 20 }),
    fc.dictionary(key, tie("tree"), { maxKeys: 20, noNullPrototype: true }),
  ),
}))

const refused = (bytes: Uint8Array | readonly number[], message?: RegExp) => {
  const error = thrownBy(() => decodeMsgpack(Uint8Array.from(bytes)))
  assert.instance(error, MsgpackInvalid)
  if (message !== undefined) assert.match(error.message, message)
}

test("whatever is written is read back the same", () => {
  fc.assert(
    fc.property(tree, (value) => {
      assert.equal(decodeMsgpack(encodeMsgpack(value)), value)
    }),
    { numRuns: 1000 },
  )
})

test("the order of keys does not change the bytes", () => {
  fc.assert(
    fc.property(fc.dictionary(key, scalar, { noNullPrototype: true }), (value) => {
      const turned = Object.fromEntries(Object.entries(value).reverse())
      assert.equal(encodeMsgpack(turned), encodeMsgpack(value))
    }),
  )
})

test("64-bit integers are exact at their ends", () => {
  for (const value of [
    0n,
    1n,
    2n ** 31n,
    2n ** 32n,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 63n,
    2n ** 64n - 1n,
    -(2n ** 63n),
  ]) {
    assert.is(BigInt(decodeMsgpack(encodeMsgpack(value)) as bigint | number), value)
  }
  for (const value of [2n ** 64n, -(2n ** 63n) - 1n]) {
    assert.instance(
      thrownBy(() => encodeMsgpack(value)),
      MsgpackInvalid,
    )
  }
})

test("values that would come back as others are refused on writing", () => {
  const deep = Array.from({ length: 65 }).reduce<unknown>((inner) => [inner], 0)
  const cyclic: unknown[] = []
  cyclic.push(cyclic)
  const values: unknown[] = [
    undefined,
    [undefined],
    () => 0,
    Symbol("s"),
    new Map(),
    new Date(0),
    new Uint16Array(2),
    new DataView(new ArrayBuffer(2)),
    JSON.parse('{"__proto__": 1}'),
    "\ud800",
    { "\udfff": 1 },
    deep,
    cyclic,
  ]
  for (const value of values)
    assert.instance(
      thrownBy(() => encodeMsgpack(value)),
      MsgpackInvalid,
    )
})

test("a decoded state does not hold on to the file", () => {
  const file = encodeMsgpack({ bytes: Uint8Array.of(1, 2, 3) })
  const { bytes } = decodeMsgpack(file) as { readonly bytes: Uint8Array }
  file.fill(0)
  assert.equal(bytes, Uint8Array.of(1, 2, 3))
  assert.is(Object.getPrototypeOf(bytes), Uint8Array.prototype)
  assert.is(bytes.buffer.byteLength, 3)
})

test("hostile nesting is refused without overflowing the stack", () => {
  refused(new Uint8Array(4_000_000).fill(0x91), /nesting deeper/)
  refused(new Uint8Array(4_000_000).fill(0x81), /key that is not a string/)
  const nested = [...Array.from({ length: 100_000 }, () => [0x81, 0xa1, 0x61]).flat(), 0xc0]
  refused(nested, /nesting deeper/)
})

test("64 levels are read, 65 are not", () => {
  const levels = (count: number) => [...Array.from({ length: count }, () => 0x91), 0xc0]
  decodeMsgpack(Uint8Array.from(levels(64)))
  refused(levels(65), /nesting deeper/)
})

test("lengths beyond the input are refused before anything is allocated", () => {
  refused([0xdd, 0x0f, 0xff, 0xff, 0xff], /more elements claimed/)
  refused([0xdf, 0xff, 0xff, 0xff, 0xff], /more elements claimed/)
  refused([0xc6, 0xff, 0xff, 0xff, 0xff], /end in the middle/)
  refused([0xdb, 0xff, 0xff, 0xff, 0xff], /end in the middle/)
})

test("what only an attacker would write is refused", () => {
  const proto = [0xa9, ...Buffer.from("__proto__")]
  refused([0x81, ...proto, 0x80], /__proto__/)
  refused([0x81, 0xd9, 9, ...Buffer.from("__proto__"), 0x80], /__proto__/)
  refused([0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2], /"a" twice/)
  refused([0x82, 0xa1, 0x61, 1, 0xd9, 1, 0x61, 2], /"a" twice/)
  refused([0x81, 0x01, 0x02], /key that is not a string/)
  refused([0xa1, 0xff], /not UTF-8/)
  refused([0xd4, 0x72, 0x40, 0x90], /type byte 0xd4/)
  refused([0xc7, 0, 0], /type byte 0xc7/)
  refused([0xc1], /type byte 0xc1/)
  refused([0xc0, 0xc0], /after the end/)
  refused([], /end in the middle/)
})

test("every cut of a value is refused, and random bytes never give anything but a value or a typed error", () => {
  const whole = encodeMsgpack({ a: [1, 2n ** 60n, "text", new Uint8Array(300)], b: { c: null, d: 1.5 } })
  for (let length = 0; length < whole.length; length++) refused(whole.subarray(0, length))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      try {
        decodeMsgpack(bytes)
      } catch (error) {
        assert.instance(error, MsgpackInvalid)
      }
    }),
    { numRuns: 20_000 },
  )
})

test.run()
