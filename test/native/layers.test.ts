// time limit: 180 s
import { closeSync, ftruncateSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs"
import { join } from "node:path"
import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative, type NativeMemory, toKvmError } from "../../src/native.ts"
import { chainPages, chains, type LaidRun, laidRuns, mapChain, zeros } from "../support/laid-files.ts"
import {
  bytesOf,
  isFilledWith,
  mappingsOfProcess,
  mebibyte,
  memoryFiles,
  page,
  ranges,
} from "../support/memory-files.ts"
import { checkDump, follow, memorySteps } from "../support/memory-steps.ts"

const { folder, newFile, dumped } = memoryFiles("layers")

const descriptorsOfProcess = () => readdirSync("/proc/self/fd").length

/** A file of `size` bytes that holds `value` everywhere. */
const fileOf = (size: number, value: number) => {
  const fd = newFile(size)
  writeSync(fd, Buffer.alloc(size, value))
  return fd
}

interface Limits {
  readonly maximumLaidRuns?: number
  readonly maximumOverlays?: number
}

/** Memory of a base and what is laid over it; the descriptors are closed, also where it is refused. */
const layered = (
  size: number,
  base: number,
  fds: readonly number[],
  runs: Float64Array,
  limits: Limits = {},
): NativeMemory => {
  try {
    return loadNative().mapMemory(size, { kind: "file", fd: base, offset: 0, laid: { fds, runs }, ...limits })
  } finally {
    for (const fd of [base, ...fds]) closeSync(fd)
  }
}

test("files and zeros lie over the base, and a dump holds what is seen", async () => {
  const runs = laidRuns(
    [0, 2 * page, 0, page],
    [2 * page, 4 * page, 1, 0],
    [8 * page, 2 * page, zeros, 0],
    [12 * page, page, 1, 8 * page],
    [14 * page, page, zeros, 0],
    [15 * page, page, 0, 0],
  )
  const memory = layered(16 * page, fileOf(16 * page, 1), [fileOf(4 * page, 2), fileOf(16 * page, 3)], runs, {
    maximumLaidRuns: 3,
  })
  const values = [2, 2, 3, 3, 3, 3, 1, 1, 0, 0, 1, 1, 3, 1, 0, 2]
  const expected = Buffer.concat(values.map((value) => Buffer.alloc(page, value)))
  assert.is(memory.copiedBytes, 3 * page, "the single pages")
  const { content, writtenBytes } = await dumped(memory)
  assert.is(Buffer.compare(content, expected), 0)
  assert.is(writtenBytes, 13 * page)
  assert.is(Buffer.compare(bytesOf(memory), expected), 0)
  assert.equal(memory.discard(ranges([0, 13 * page])), { discardedBytes: 13 * page, zeroedBytes: 0 })
  expected.fill(0, 0, 13 * page)
  assert.is(Buffer.compare((await dumped(memory)).content, expected), 0)
  assert.is(Buffer.compare(bytesOf(memory), expected), 0)
  memory.close()
})

test("memory that nothing is laid over has nothing copied", () => {
  for (const memory of [
    layered(4 * page, newFile(4 * page), [], new Float64Array(0)),
    loadNative().mapMemory(page, { kind: "anonymous" }),
    loadNative().mapMemory(page, { kind: "memfd" }),
  ]) {
    assert.is(memory.copiedBytes, 0)
    memory.close()
  }
})

test("runs that continue each other are one mapping; zeros over a hole are none", () => {
  const before = mappingsOfProcess()
  const runs = laidRuns(
    ...Array.from({ length: 32 }, (_, index): LaidRun => [index * page, page, 0, (4 + index) * page]),
    ...Array.from({ length: 32 }, (_, index): LaidRun => [(64 + 2 * index) * page, 2 * page, zeros, 0]),
    ...Array.from({ length: 32 }, (_, index): LaidRun => [(512 + 4 * index) * page, 2 * page, zeros, 0]),
  )
  const base = newFile(16 * mebibyte)
  writeSync(base, Buffer.alloc(page, 1), 0, page, 100 * page)
  const memory = layered(16 * mebibyte, base, [fileOf(64 * page, 2)], runs)
  assert.is(memory.copiedBytes, 0)
  // The file, what is left of the base before and behind the zeros, and the zeros.
  assert.ok(mappingsOfProcess() <= before + 6, `${mappingsOfProcess()} mappings, ${before} before`)
  assert.is(memory.residentBytes(), 0)
  assert.ok(isFilledWith(bytesOf(memory).subarray(0, 32 * page), 2))
  assert.ok(isFilledWith(bytesOf(memory).subarray(32 * page), 0))
  memory.close()
})

test("the largest runs are mapped, the others copied, and all of it is given back", () => {
  const before = mappingsOfProcess()
  const runs: LaidRun[] = []
  const length = (index: number) => (index % 16 === 0 ? 12 : 2 + (index % 4)) * page
  for (let index = 0; index < 256; index++) {
    runs.push([index * 16 * page, length(index), index % 3 === 0 ? zeros : 0, index % 3 === 0 ? 0 : index * 4 * page])
  }
  const make = (maximumLaidRuns: number) =>
    layered(16 * mebibyte, fileOf(16 * mebibyte, 1), [fileOf(8 * mebibyte, 2)], laidRuns(...runs), { maximumLaidRuns })
  const check = (memory: NativeMemory) => {
    const bytes = bytesOf(memory)
    runs.forEach(([offset, size, file], index) => {
      assert.ok(isFilledWith(bytes.subarray(offset, offset + size), file === zeros ? 0 : 2), `run ${index}`)
      assert.ok(isFilledWith(bytes.subarray(offset + size, offset + 16 * page), 1), `behind run ${index}`)
    })
  }
  const total = runs.reduce((sum, [, size]) => sum + size, 0)
  const few = make(16)
  assert.is(few.copiedBytes, total - 16 * 12 * page)
  assert.is(few.residentBytes(), few.copiedBytes)
  assert.ok(mappingsOfProcess() <= before + 2 * 16 + 8)
  check(few)
  const none = make(0)
  assert.is(none.copiedBytes, total)
  check(none)
  const all = make(256)
  assert.is(all.copiedBytes, 0)
  assert.is(all.residentBytes(), 0)
  check(all)
  for (const memory of [few, none, all]) memory.close()
  assert.ok(mappingsOfProcess() <= before + 8, `${mappingsOfProcess()} mappings, ${before} before`)
})

test("single pages are mapped where they are few, and copied where they are many", () => {
  const size = 16 * mebibyte
  const singles = (count: number) =>
    Array.from({ length: count }, (_, index): LaidRun => [(64 + 2 * index) * page, page, 0, index * page])
  const larger: LaidRun = [0, 2 * page, 0, 0]
  const copied = (count: number) => {
    const memory = layered(size, fileOf(size, 1), [fileOf(size, 2)], laidRuns(larger, ...singles(count)))
    const bytes = bytesOf(memory)
    assert.ok(isFilledWith(bytes.subarray(0, 2 * page), 2))
    for (let index = 0; index < count; index++) {
      assert.is(bytes[(64 + 2 * index) * page], 2)
      assert.is(bytes[(64 + 2 * index + 1) * page], 1)
    }
    const { copiedBytes } = memory
    memory.close()
    return copiedBytes / page
  }
  assert.is(copied(1023), 0)
  assert.is(copied(1500), 1501 - 1024)
})

test("many memories of many runs share the mappings that the process may have", () => {
  const before = mappingsOfProcess()
  const maximum = Number(readFileSync("/proc/sys/vm/max_map_count", "latin1"))
  // Half of all mappings for what is laid and discarded, two for each part; a quarter of it is left for what is discarded.
  const account = Math.floor(maximum / 4)
  let left = account - Math.floor(account / 4)
  const count = 8192
  const size = count * 4 * page
  const runs = laidRuns(...Array.from({ length: count }, (_, index): LaidRun => [index * 4 * page, 2 * page, 0, 0]))
  const memories = Array.from({ length: 6 }, () =>
    layered(size, newFile(size), [fileOf(2 * page, 7)], runs, { maximumLaidRuns: count }),
  )
  assert.ok(mappingsOfProcess() < before + maximum / 2, `${mappingsOfProcess()} mappings`)
  for (const memory of memories) {
    const mapped = Math.min(count, left)
    left -= mapped
    assert.is(memory.copiedBytes, (count - mapped) * 2 * page)
    const bytes = bytesOf(memory)
    for (let index = 0; index < count; index += 97) {
      assert.ok(isFilledWith(bytes.subarray(index * 4 * page, (index * 4 + 2) * page), 7))
      assert.is(bytes[(index * 4 + 2) * page], 0)
    }
    // What the guest gives away still finds room.
    assert.equal(memory.discard(ranges([0, mebibyte])), { discardedBytes: mebibyte, zeroedBytes: 0 })
  }
  for (const memory of memories) memory.close()
  assert.ok(mappingsOfProcess() <= before + 64)
  const again = layered(size, newFile(size), [fileOf(2 * page, 7)], runs, { maximumLaidRuns: count })
  assert.is(again.copiedBytes, 0, "closed memories have given theirs back")
  again.close()
})

test("a file that becomes too short to be copied fails whatever uses the memory", () => {
  for (const count of [1, 1024]) {
    const runs = Array.from({ length: count }, (_, index): LaidRun => [2 * index * page, page, 0, index * page])
    const fd = fileOf(count * page, 2)
    const laid = { fds: [fd], runs: laidRuns(...runs) }
    const base = newFile(2 * count * page)
    const source = { kind: "file", fd: base, offset: 0, laid, maximumLaidRuns: 0 } as const
    const unused = loadNative().mapMemory(2 * count * page, source)
    ftruncateSync(fd, 0)
    assert.is(unused.copiedBytes, count * page)
    unused.close()
    ftruncateSync(fd, count * page)
    const memory = loadNative().mapMemory(2 * count * page, source)
    ftruncateSync(fd, 0)
    // With a thread of its own, copying may have been quicker than this.
    if (count === 1) {
      assert.throws(() => memory.window(0, page), /has become shorter/)
      assert.throws(() => memory.residentBytes(), /has become shorter/)
    }
    memory.close()
    closeSync(fd)
    closeSync(base)
  }
})

test("what is malformed is refused, says why, and leaves nothing behind", () => {
  const size = 16 * page
  const first: LaidRun = [0, page, 0, 0]
  const refused: ReadonlyArray<readonly [runs: unknown, message: RegExp]> = [
    [[0, page, 0, 0], /source\.laid\.runs must be a Float64Array/],
    [undefined, /source\.laid\.runs must be a Float64Array/],
    [new Float32Array(4), /source\.laid\.runs must be a Float64Array/],
    [new Float64Array([0, page, 0]), /four numbers a run/],
    [laidRuns(first, [page + 1, page, 0, 0]), /run 1 of source\.laid\.runs: the offset must be a multiple of 4096/],
    [laidRuns([-page, page, 0, 0]), /the offset must be/],
    [laidRuns([17 * page, page, 0, 0]), /the offset must be a multiple of 4096 from 0 to 65536/],
    [laidRuns([Number.NaN, page, 0, 0]), /the offset must be/],
    [laidRuns([2 * page, 15 * page, 0, 0]), /the length must be a multiple of 4096 from 0 to 57344/],
    [laidRuns([0, 100, 0, 0]), /the length must be/],
    [laidRuns([0, 0, 0, 0]), /it is empty/],
    [laidRuns([0, Number.POSITIVE_INFINITY, 0, 0]), /the length must be/],
    [laidRuns(first, [page, page, 2, 0]), /run 1 of source\.laid\.runs: the file must be from -1 \(zeros\) to 1/],
    [laidRuns([0, page, -2, 0]), /the file must be/],
    [laidRuns([0, page, 0.5, 0]), /the file must be/],
    [laidRuns([0, page, Number.NaN, 0]), /the file must be/],
    [laidRuns([0, page, 0, 5]), /the offset in the file must be/],
    [laidRuns([0, page, 0, 5 * page]), /the offset in the file must be a multiple of 4096 from 0 to 16384/],
    [laidRuns([0, 2 * page, 0, 3 * page]), /file 0 holds 16384 bytes, but 8192 bytes from offset 12288/],
    [laidRuns([0, page, 1, 0]), /file 1 holds 100 bytes/],
    [laidRuns([0, page, zeros, page]), /the offset in the file, for zeros, must be/],
    [laidRuns([0, 2 * page, 0, 0], [page, page, 0, 0]), /run 1 of source\.laid\.runs: it begins before the end/],
    [laidRuns([4 * page, page, 0, 0], first), /it begins before the end/],
  ]
  const mappings = mappingsOfProcess()
  const descriptors = descriptorsOfProcess()
  for (const [runs, message] of refused) {
    assert.throws(
      () => layered(size, newFile(size), [newFile(4 * page), newFile(100)], runs as Float64Array),
      (cause: unknown) => {
        const error = toKvmError(cause)
        assert.match(error.message, message)
        assert.is(error.operation, "mapMemory")
        assert.is(error.errno, 0)
        return true
      },
    )
  }
  const withFiles = (fds: unknown, message: RegExp) => {
    const fd = newFile(size)
    const laid = { fds: fds as readonly number[], runs: laidRuns(first) }
    assert.throws(() => loadNative().mapMemory(size, { kind: "file", fd, offset: 0, laid }), message)
    closeSync(fd)
  }
  withFiles(undefined, /source\.laid\.fds must be an array/)
  withFiles([-1], /source\.laid\.fds\[0\] must be/)
  withFiles(["0"], /source\.laid\.fds\[0\] must be/)
  withFiles([99_999], /fstat failed/)
  const device = openSync("/dev/zero", "r")
  withFiles([device], /regular file/)
  closeSync(device)
  assert.is(descriptorsOfProcess(), descriptors)
  assert.ok(mappingsOfProcess() <= mappings + 4, `${mappingsOfProcess()} mappings, ${mappings} before`)
})

test("whatever is laid over whatever, and then written, discarded and dumped", async () => {
  const before = mappingsOfProcess()
  await fc.assert(
    fc.asyncProperty(chains, memorySteps(chainPages), async (chain, steps) => {
      const { memory, content } = mapChain(chain, newFile)
      try {
        assert.ok(memory.residentBytes() <= memory.copiedBytes)
        await follow(memory, content, steps, async () => checkDump(memory, content, await dumped(memory)))
      } finally {
        memory.close()
        for (const file of readdirSync(folder)) rmSync(join(folder, file))
      }
    }),
    { numRuns: 300 },
  )
  assert.ok(mappingsOfProcess() <= before + 200)
})

test.run()
