import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { encodeFrame, FrameReader } from "../../src/guest/frame.ts"

const frame = fc.record({
  id: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  op: fc.integer({ min: 0, max: 65535 }),
  payload: fc.uint8Array({ maxLength: 300 }),
})

/** Cuts bytes into pieces at the given places. */
const cut = (bytes: Uint8Array, places: readonly number[]): Uint8Array[] => {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end))
}

test("frames come out as they went in, however the stream is cut", () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 8 }), (frames, places) => {
      const stream = Buffer.concat(frames.map(({ id, op, payload }) => encodeFrame(id, op, payload)))
      const reader = new FrameReader()
      const got = cut(new Uint8Array(stream), places).flatMap((piece) => reader.push(piece))
      assert.equal(
        got,
        frames.map((each) => ({ ...each, status: 0 })),
      )
    }),
  )
})

test("the tail of a foreign frame and any garbage in front of a frame are dropped", () => {
  fc.assert(
    fc.property(frame, frame, fc.uint8Array({ maxLength: 64 }), fc.nat(), (foreign, ours, garbage, skip) => {
      const tail = encodeFrame(foreign.id, foreign.op, foreign.payload).subarray(1 + (skip % 19))
      const stream = Buffer.concat([tail, garbage, encodeFrame(ours.id, ours.op, ours.payload)])
      const got = new FrameReader().push(new Uint8Array(stream))
      assert.equal(got.at(-1), { ...ours, status: 0 })
    }),
  )
})

test("a length beyond the limit is no header", () => {
  const bytes = encodeFrame(1, 2, new Uint8Array(0))
  new DataView(bytes.buffer).setUint32(12, 0xffffffff, true)
  const reader = new FrameReader()
  assert.equal(reader.push(bytes), [])
  const good = encodeFrame(3, 4, new Uint8Array([5]))
  assert.is(reader.push(good).length, 1)
})

test("bytes handed in may be reused by the caller", () => {
  const bytes = encodeFrame(7, 8, new Uint8Array([1, 2, 3]))
  const reader = new FrameReader()
  const shared = bytes.slice(0, 22)
  reader.push(shared)
  shared.fill(0)
  assert.equal(reader.push(bytes.slice(22))[0]?.payload, new Uint8Array([1, 2, 3]))
})

test.run()
