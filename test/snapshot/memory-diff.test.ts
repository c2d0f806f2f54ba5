import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import type { NativeRuns } from "../../src/native.ts"
import {
  checkRunTableLayout,
  DIGEST_CHUNK_BYTES,
  decodeRunTable,
  encodeRunTable,
  MemoryDiffInvalid,
  type RunTableLayout,
  runTableBytes,
} from "../../src/snapshot/runs/memory-diff.ts"
import { PAGE_BYTES, ZEROS } from "../../src/snapshot/runs/runs.ts"
import { thrownBy } from "../state/samples.ts"
import { type DiffRuns, diffRuns, listOf } from "../support/runs.ts"

const layoutOf = ({ runs, memoryBytes, dataBytes }: DiffRuns): RunTableLayout => ({
  memoryBytes,
  tableOffset: Math.ceil(dataBytes / DIGEST_CHUNK_BYTES) * DIGEST_CHUNK_BYTES,
  runs: runs.length / 4,
})

/** Two pages of the file, then one of zeros. */
const sample: DiffRuns = {
  runs: Float64Array.of(PAGE_BYTES, 2 * PAGE_BYTES, 0, 0, 8 * PAGE_BYTES, PAGE_BYTES, ZEROS, 0),
  memoryBytes: 16 * PAGE_BYTES,
  dataBytes: 2 * PAGE_BYTES,
}
const sampleLayout = layoutOf(sample)

/** What whoever maps a table relies on. */
const assertSafe = (runs: NativeRuns, { memoryBytes, tableOffset }: RunTableLayout): void => {
  let end = 0
  for (const { offset, bytes, file, fileOffset } of listOf(runs)) {
    for (const number of [offset, bytes, fileOffset]) assert.is(number % PAGE_BYTES, 0)
    assert.ok(bytes > 0 && offset >= end && offset + bytes <= memoryBytes)
    if (file === ZEROS) assert.is(fileOffset, 0)
    else assert.ok(file === 0 && fileOffset >= 0 && fileOffset + bytes <= tableOffset)
    end = offset + bytes
  }
}

test("a table comes back as it was", () => {
  fc.assert(
    fc.property(diffRuns({ maximumRuns: 400 }), (diff) => {
      const bytes = encodeRunTable(diff.runs, diff.memoryBytes)
      assert.is(bytes.length, runTableBytes(diff.runs.length / 4))
      assert.is(bytes.length % PAGE_BYTES, 0)
      assert.equal(decodeRunTable(bytes, layoutOf(diff)), diff.runs)
    }),
  )
})

test("offsets beyond 4 GiB, and runs as large, come back as they were", () => {
  const memoryBytes = 2 ** 44
  const runs = Float64Array.of(2 ** 33, 2 ** 40, 0, 2 ** 35 + PAGE_BYTES, 2 ** 42, 2 ** 43, ZEROS, 0)
  const layout = { memoryBytes, tableOffset: 2 ** 41, runs: 2 }
  assert.equal(decodeRunTable(encodeRunTable(runs, memoryBytes), layout), runs)
})

test("a table is read wherever its bytes lie in a buffer", () => {
  const bytes = encodeRunTable(sample.runs, sample.memoryBytes)
  const shifted = new Uint8Array(bytes.length + 3)
  shifted.set(bytes, 3)
  assert.equal(decodeRunTable(shifted.subarray(3), sampleLayout), sample.runs)
})

test("a flipped bit is refused, or gives a table that can be mapped all the same", () => {
  let refused = 0
  fc.assert(
    fc.property(diffRuns(), fc.nat(), fc.nat({ max: 7 }), (diff, place, bit) => {
      const bytes = encodeRunTable(diff.runs, diff.memoryBytes)
      // Half of them in what is not padding.
      const used = 32 + (diff.runs.length / 4) * 24
      const at = place % (place % 2 === 0 ? used : bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
      const layout = layoutOf(diff)
      try {
        assertSafe(decodeRunTable(bytes, layout), layout)
      } catch (error) {
        assert.instance(error, MemoryDiffInvalid)
        refused++
      }
    }),
    { numRuns: 2000 },
  )
  assert.ok(refused > 1000, `${refused} were refused`)
})

test("random bytes behind a good header are refused, or give a table that can be mapped", () => {
  const words = fc.array(fc.oneof(fc.nat({ max: 5 }), fc.nat({ max: 2 ** 17 }), fc.nat()), { maxLength: 40 })
  fc.assert(
    fc.property(words, (values) => {
      const bytes = encodeRunTable(sample.runs, sample.memoryBytes)
      const view = new DataView(bytes.buffer)
      values.forEach((value, index) => {
        view.setUint32(32 + index * 4, value, true)
      })
      try {
        assertSafe(decodeRunTable(bytes, sampleLayout), sampleLayout)
      } catch (error) {
        assert.instance(error, MemoryDiffInvalid)
      }
    }),
  )
})

/** Each changes one thing of the sample's table, by what the error has to say. */
const damages: readonly (readonly [RegExp, (view: DataView) => void])[] = [
  [/where its table should be is none/, (view) => view.setUint8(0, 0x88)],
  [/of version 2.*use a newer cryovm/, (view) => view.setUint32(8, 2, true)],
  [/pages have 8192 bytes/, (view) => view.setUint32(12, 8192, true)],
  [/table has 3 runs, and the manifest tells of 2/, (view) => view.setBigUint64(16, 3n, true)],
  [/of 4096 bytes of memory/, (view) => view.setBigUint64(24, 4096n, true)],
  [/run 0 .* is not of whole pages/, (view) => view.setBigUint64(32, 5n, true)],
  [/run 0 .* ends behind the end of memory/, (view) => view.setBigUint64(32, 2n ** 52n, true)],
  [/run 0 .* is not at a page of the file/, (view) => view.setBigUint64(40, 100n, true)],
  [/run 0 .* is not in the part of the file/, (view) => view.setBigUint64(40, 2n ** 20n - 4096n, true)],
  [/run 0 .* is not in the part of the file/, (view) => view.setBigUint64(40, 2n ** 52n, true)],
  [/run 0 .* is not of whole pages/, (view) => view.setUint32(48, 0, true)],
  [/run 0 .* ends behind the end of memory/, (view) => view.setUint32(48, 0xffff_ffff, true)],
  [/run 0 is of kind 2/, (view) => view.setUint32(52, 2, true)],
  [/run 1 .* begins before the end/, (view) => view.setBigUint64(56, 4096n, true)],
  [/run 1 .* is of zeros and has a place/, (view) => view.setBigUint64(64, 4096n, true)],
  [/something behind its last run/, (view) => view.setUint8(80, 1)],
  [/something behind its last run/, (view) => view.setUint8(4095, 1)],
]

for (const [message, damage] of damages) {
  test(`refused: ${message.source}`, () => {
    const bytes = encodeRunTable(sample.runs, sample.memoryBytes)
    damage(new DataView(bytes.buffer))
    const error = thrownBy(() => decodeRunTable(bytes, sampleLayout, "/snapshots/a/memory.diff"))
    assert.is(error._tag, "MemoryDiffInvalid")
    assert.match(error.message, /^\/snapshots\/a\/memory\.diff /)
    assert.match(error.message, message)
  })
}

const layouts: readonly (readonly [RegExp, Partial<RunTableLayout>, number])[] = [
  [/no whole pages/, { memoryBytes: 5 }, 0],
  [/no multiple of 1048576/, { tableOffset: PAGE_BYTES }, 0],
  [/-1048576, which is no multiple/, { tableOffset: -(2 ** 20) }, 0],
  [/9007199254740991 runs are not possible/, { runs: Number.MAX_SAFE_INTEGER }, 0],
  [/17 runs are not possible in 65536 bytes/, { runs: 17 }, 0],
  [/it has 16777217 runs, and at most 16777216 are read/, { memoryBytes: 2 ** 40, runs: 2 ** 24 + 1 }, 0],
  [/with 2 runs it has 1052672 bytes, not 1056768/, {}, 4096],
  [/with 2 runs it has 1052672 bytes, not 1048576/, {}, -4096],
]

for (const [message, change, longer] of layouts) {
  test(`refused before anything is read: ${message.source}`, () => {
    const layout = { ...sampleLayout, ...change }
    const error = thrownBy(() => checkRunTableLayout(layout, 2 ** 20 + PAGE_BYTES + longer))
    assert.is(error._tag, "MemoryDiffInvalid")
    assert.match(error.message, message)
  })
}

test("a table that could not be read back is not written", () => {
  for (const runs of [
    [0, 100, 0, 0],
    [PAGE_BYTES, PAGE_BYTES, 0, 0, 0, PAGE_BYTES, 0, PAGE_BYTES],
    [0, PAGE_BYTES, 1, 0],
    [16 * PAGE_BYTES, PAGE_BYTES, 0, 0],
    [Number.NaN, PAGE_BYTES, 0, 0],
  ]) {
    assert.is(thrownBy(() => encodeRunTable(Float64Array.from(runs), sample.memoryBytes))._tag, "MemoryDiffInvalid")
  }
})

test.run()
