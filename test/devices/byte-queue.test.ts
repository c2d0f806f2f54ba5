import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { ByteQueue } from "../../src/devices/byte-queue.ts"

test("behaves like an array with a bound", () => {
  const action = fc.oneof(
    fc.record({ kind: fc.constant("write" as const), count: fc.nat(700) }),
    fc.record({ kind: fc.constant("read" as const), count: fc.nat(700) }),
    fc.record({ kind: fc.constant("drop" as const), count: fc.integer({ min: -5, max: 300 }) }),
    fc.record({ kind: fc.constant("shift" as const), count: fc.constant(1) }),
  )
  fc.assert(
    fc.property(fc.array(action), fc.integer({ min: 1, max: 1000 }), (actions, capacity) => {
      const queue = new ByteQueue(capacity)
      let model: number[] = []
      let next = 0
      for (const { kind, count } of actions) {
        if (kind === "write") {
          const bytes = Uint8Array.from({ length: count }, () => next++ & 0xff)
          const written = queue.write(bytes)
          assert.is(written, Math.min(count, capacity - model.length))
          model.push(...bytes.subarray(0, written))
        } else if (kind === "read") {
          const into = new Uint8Array(count)
          const read = queue.read(into)
          assert.equal([...into.subarray(0, read)], model.slice(0, count))
          model = model.slice(count)
        } else if (kind === "drop") {
          queue.drop(count)
          model = model.slice(Math.max(0, count))
        } else assert.is(queue.shift(), model.shift() ?? -1)
        assert.is(queue.length, model.length)
        assert.is(queue.room, capacity - model.length)
        assert.equal([...queue.toBytes()], model)
      }
    }),
  )
})

test.run()
