// time limit: 180 s
import { closeSync, fstatSync, openSync, readdirSync, readSync, rmSync, writeSync } from "node:fs"
import { join } from "node:path"
import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import {
  loadNative,
  type NativeDiffOptions,
  type NativeDiffResult,
  type NativeMemory,
  toKvmError,
} from "../../src/native.ts"
import { bytesOf, mebibyte, memoryFiles, page, ranges } from "../support/memory-files.ts"
import { abortedFailureOf, failureOf } from "../support/native-jobs.ts"

const { folder, newFile } = memoryFiles("diff")

interface Run {
  readonly page: number
  readonly count: number
  readonly isZero: boolean
  readonly fileOffset: number
}

/** Checked for what holds of every table of runs: whole pages, ascending, merged, packed from `fileOffset` on. */
const runsOf = ({ runs, writtenBytes, zeroBytes }: NativeDiffResult, fileOffset: number): readonly Run[] => {
  const found: Run[] = []
  let packed = 0
  let zeros = 0
  for (let at = 0; at < runs.length; at += 4) {
    const [offset, length, file, fromFile] = runs.subarray(at, at + 4) as unknown as [number, number, number, number]
    assert.ok(offset % page === 0 && length % page === 0 && length > 0)
    const run = { page: offset / page, count: length / page, isZero: file === -1, fileOffset: fromFile }
    const last = found.at(-1)
    if (last !== undefined) {
      const end = last.page + last.count
      assert.ok(end < run.page || (end === run.page && last.isZero !== run.isZero), "ascending, and merged")
    }
    assert.is(file, run.isZero ? -1 : 0)
    assert.is(fromFile, run.isZero ? 0 : fileOffset + packed)
    if (run.isZero) zeros += length
    else packed += length
    found.push(run)
  }
  assert.is(writtenBytes, packed)
  assert.is(zeroBytes, zeros)
  return found
}

const pagesIn = (runs: readonly Run[]) =>
  runs.flatMap(({ page: first, count }) => Array.from({ length: count }, (_, index) => first + index))

/** Puts the runs over `content`. */
const apply = (content: Buffer, runs: readonly Run[], fd: number) => {
  for (const run of runs) {
    const into = content.subarray(run.page * page, (run.page + run.count) * page)
    if (run.isZero) into.fill(0)
    else assert.is(readSync(fd, into, 0, into.length, run.fileOffset), into.length)
  }
}

const bitmapOf = (pages: readonly number[], size: number) => {
  const bitmap = new Uint8Array(Math.ceil(size / page / 64) * 8)
  for (const each of pages) bitmap[each >> 3]! |= 1 << (each & 7)
  return bitmap
}

const pages = 150
const numbers = Array.from({ length: pages }, (_, index) => index)

/** Content of a memory by pages: one number each, whose bytes fill the page; 0 is a page of zeros. */
type Content = readonly number[]
type Make = (content: Content) => NativeMemory
const bufferOf = (content: Content) => Buffer.concat(content.map((value) => Buffer.alloc(page, value)))

const fileOf = (content: Content, offset: number) => {
  const fd = newFile(offset + pages * page)
  content.forEach((value, index) => {
    // Some zeros are written out, the others holes.
    if (value !== 0 || index % 7 === 0) writeSync(fd, Buffer.alloc(page, value), 0, page, offset + index * page)
  })
  return fd
}

const fromFile: Make = (content) => {
  const fd = fileOf(content, page)
  const memory = loadNative().mapMemory(pages * page, { kind: "file", fd, offset: page })
  closeSync(fd)
  return memory
}

/** Every third run of five pages comes from a file over the base, which holds something else there. */
const fromLayers: Make = (content) => {
  const isLaid = (index: number) => Math.floor(index / 5) % 3 === 0
  const base = fileOf(
    content.map((value, index) => (isLaid(index) ? 99 : value)),
    0,
  )
  const layer = fileOf(content, 2 * page)
  const runs: number[] = []
  for (let index = 0; index < pages; index += 15) {
    const isZero = content.slice(index, index + 5).every((value) => value === 0)
    runs.push(index * page, 5 * page, isZero ? -1 : 0, isZero ? 0 : (index + 2) * page)
  }
  const memory = loadNative().mapMemory(pages * page, {
    kind: "file",
    fd: base,
    offset: 0,
    laid: { fds: [layer], runs: new Float64Array(runs) },
    maximumLaidRuns: 4,
  })
  closeSync(base)
  closeSync(layer)
  return memory
}

const written =
  (kind: "anonymous" | "memfd"): Make =>
  (content) => {
    const memory = loadNative().mapMemory(pages * page, { kind })
    const bytes = bytesOf(memory)
    content.forEach((value, index) => {
      if (value !== 0 || index % 5 === 0) bytes.fill(value, index * page, (index + 1) * page)
    })
    return memory
  }

const kinds: Readonly<Record<string, Make>> = {
  anonymous: written("anonymous"),
  memfd: written("memfd"),
  file: fromFile,
  layers: fromLayers,
}

const baselines: Readonly<Record<string, Make | undefined>> = { nothing: undefined, ...kinds }

/** Long runs of the same, and single pages. */
const contents: fc.Arbitrary<Content> = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.nat({ max: 3 })), { minLength: 8, maxLength: 60 })
  .map((runs) => {
    const content = runs.flatMap(([count, value]) => Array.from({ length: count }, () => value))
    return numbers.map((index) => content[index % content.length]!)
  })

type Change = { readonly at: number; readonly count: number; readonly value: number | "discard" }
const changes = fc.array(
  fc.record({
    at: fc.nat({ max: pages - 1 }),
    count: fc.integer({ min: 1, max: 9 }),
    value: fc.oneof(fc.nat({ max: 3 }), fc.constant("discard" as const)),
  }),
  { maxLength: 30 },
)

/** Makes the changes; returns what the memory holds then, and which pages were touched. */
const change = (memory: NativeMemory, content: Content, all: readonly Change[]) => {
  const bytes = bytesOf(memory)
  const current = [...content]
  const touched = new Set<number>()
  for (const { at, count, value } of all) {
    const end = Math.min(pages, at + count)
    if (value === "discard") memory.discard(ranges([at * page, (end - at) * page]))
    else bytes.fill(value, at * page, end * page)
    for (let index = at; index < end; index++) {
      current[index] = value === "discard" ? 0 : value
      touched.add(index)
    }
  }
  return { current, touched }
}

const removeFiles = () => {
  for (const file of readdirSync(folder)) rmSync(join(folder, file))
}

const fileOffset = 3 * page
const chunkBytes = 4 * page

/** Writes a diff, and only finds it; both have to tell the same, and what is written has to have their digests. */
const diffed = async (memory: NativeMemory, options: NativeDiffOptions) => {
  const native = loadNative()
  const fd = newFile(0)
  writeSync(fd, Buffer.alloc(fileOffset, 0xee))
  const result = await memory.dumpDiff(fd, fileOffset, { ...options, chunkBytes }).done
  assert.equal(await memory.dumpDiff(null, fileOffset, { ...options, chunkBytes }).done, result)
  const packed = Buffer.alloc(result.writtenBytes)
  readSync(fd, packed, 0, packed.length, fileOffset)
  assert.equal(native.digest(packed, chunkBytes), result.digests)
  assert.equal(await native.digestFile(fd, fileOffset, packed.length, chunkBytes).done, result.digests)
  const before = Buffer.alloc(fileOffset)
  readSync(fd, before, 0, fileOffset, 0)
  assert.ok(before.every((byte) => byte === 0xee))
  assert.is(fstatSync(fd).size, fileOffset + result.writtenBytes)
  return { fd, runs: runsOf(result, fileOffset) }
}

const differing = (one: Content, other: Content) => numbers.filter((index) => one[index] !== other[index])

for (const [name, make] of Object.entries(kinds)) {
  for (const [baselineName, makeBaseline] of Object.entries(baselines)) {
    test(`exactly the candidates that differ, and their content: ${name} against ${baselineName}`, () =>
      fc.assert(
        fc.asyncProperty(
          contents,
          contents,
          changes,
          fc.oneof(
            fc.constant("all" as const),
            fc.constant("written" as const),
            fc.uniqueArray(fc.nat({ max: pages - 1 }), { maxLength: pages }),
          ),
          async (first, other, steps, chosen) => {
            if (chosen === "written" && (name === "anonymous" || name === "memfd")) return
            const memory = make(first)
            // Mostly the same.
            const old = first.map((value, index) => (index % 4 === 0 ? other[index]! : value))
            const baseline = makeBaseline?.(old)
            try {
              const { current, touched } = change(memory, first, steps)
              const resident = [memory.residentBytes(), baseline?.residentBytes()]
              const candidates = typeof chosen === "string" ? chosen : bitmapOf(chosen, memory.size)
              const { fd, runs } = await diffed(memory, {
                candidates,
                ...(baseline === undefined ? {} : { baseline }),
              })
              assert.equal([memory.residentBytes(), baseline?.residentBytes()], resident, "nothing was brought in")

              const found = new Set(pagesIn(runs))
              const compared = baseline === undefined && chosen === "all" ? current.map(() => 0) : old
              const changed =
                baseline === undefined && chosen !== "all" ? new Set(numbers) : new Set(differing(current, compared))
              if (chosen === "written") {
                for (const index of differing(current, first)) assert.is(found.has(index), changed.has(index))
                for (const index of found) assert.ok(touched.has(index) && changed.has(index))
              } else {
                const candidatePages = chosen === "all" ? numbers : chosen
                const expected = candidatePages.filter((index) => changed.has(index)).sort((a, b) => a - b)
                assert.equal([...found], expected)
              }

              const applied = bufferOf(compared)
              apply(applied, runs, fd)
              closeSync(fd)
              const wanted = bufferOf(compared.map((value, index) => (found.has(index) ? current[index]! : value)))
              assert.is(Buffer.compare(applied, wanted), 0)
              assert.is(Buffer.compare(bytesOf(memory), bufferOf(current)), 0, "the memory is as it was")
            } finally {
              memory.close()
              baseline?.close()
              removeFiles()
            }
          },
        ),
        { numRuns: 25 },
      ))
  }
}

for (const name of ["file", "layers"] as const) {
  test(`what changed since any moment is among what was written and what was ever discarded: ${name}`, () =>
    fc.assert(
      fc.asyncProperty(contents, changes, changes, async (first, earlier, later) => {
        const memory = kinds[name]!(first)
        const moment = change(memory, first, earlier).current
        const baseline = fromFile(moment)
        try {
          const { current } = change(memory, moment, later)
          const discards = [...earlier, ...later].filter(({ value }) => value === "discard")
          const discarded = bitmapOf(
            discards.flatMap(({ at, count }) => numbers.slice(at, at + count)),
            memory.size,
          )
          const { fd, runs } = await diffed(memory, { candidates: "written", discarded, baseline })
          assert.equal(pagesIn(runs), differing(current, moment))
          const applied = bufferOf(moment)
          apply(applied, runs, fd)
          closeSync(fd)
          assert.is(Buffer.compare(applied, bufferOf(current)), 0)
        } finally {
          memory.close()
          baseline.close()
          removeFiles()
        }
      }),
    ))
}

test("many scattered pages and long runs: more than fits into one write, in memory and from the file", async () => {
  const size = 48 * mebibyte
  const source = newFile(size)
  const content = Buffer.alloc(size)
  for (let at = 0; at < size; at += 4) content.writeUInt32LE(at / 4 + 1, at)
  writeSync(source, content)
  const memory = loadNative().mapMemory(size, { kind: "file", fd: source, offset: 0 })
  closeSync(source)
  const bytes = bytesOf(memory)
  const candidates: number[] = []
  // Every second page: in memory, in the file, in turns; then long runs of each.
  for (let at = 0; at < size / 2 / page; at += 2) {
    candidates.push(at)
    const isInMemory = at % 4 === 0 || (at > 2000 && at < 5000)
    if (isInMemory) {
      bytes[at * page + 8] = 0x77
      content[at * page + 8] = 0x77
    }
  }
  for (let at = size / 2 / page; at < size / page - 64; at++) candidates.push(at)
  bytes.fill(5, 30 * mebibyte, 36 * mebibyte)
  content.fill(5, 30 * mebibyte, 36 * mebibyte)
  const resident = memory.residentBytes()
  const { fd, runs } = await diffed(memory, { candidates: bitmapOf(candidates, size) })
  assert.is(memory.residentBytes(), resident)
  assert.equal(pagesIn(runs), candidates)
  const applied = Buffer.from(content)
  for (const each of candidates) applied.fill(0, each * page, (each + 1) * page)
  apply(applied, runs, fd)
  assert.is(Buffer.compare(applied, content), 0)
  closeSync(fd)
  memory.close()
})

test("memory that was never touched has nothing to tell, however large", async () => {
  const memory = loadNative().mapMemory(1024 * mebibyte, { kind: "anonymous" })
  const baseline = loadNative().mapMemory(memory.size, { kind: "memfd" })
  for (const options of [{ candidates: "all" }, { candidates: "all", baseline }] as const) {
    const diff = memory.dumpDiff(null, 0, options)
    assert.equal(await diff.done, {
      runs: new Float64Array(0),
      writtenBytes: 0,
      zeroBytes: 0,
      digests: new Uint8Array(0),
    })
    assert.is(diff.scannedBytes, memory.size)
  }
  const every = new Uint8Array(memory.size / page / 8).fill(0xff)
  const { runs } = await memory.dumpDiff(null, 0, { candidates: every }).done
  assert.equal(runs, new Float64Array([0, memory.size, -1, 0]))
  assert.is((await memory.dumpDiff(null, 0, { candidates: every, baseline }).done).runs.length, 0)
  assert.is(memory.residentBytes() + baseline.residentBytes(), 0)
  memory.close()
  baseline.close()
})

test("memory and baseline may be closed while a diff runs, and the bitmap written to", async () => {
  const memory = loadNative().mapMemory(32 * mebibyte, { kind: "anonymous" })
  bytesOf(memory).fill(1)
  const baseline = loadNative().mapMemory(memory.size, { kind: "anonymous" })
  bytesOf(baseline).fill(1, 0, 16 * mebibyte)
  const candidates = new Uint8Array(memory.size / page / 8).fill(0xff)
  const { done } = memory.dumpDiff(null, 0, { candidates, baseline })
  candidates.fill(0)
  memory.close()
  baseline.close()
  assert.equal((await done).runs, new Float64Array([16 * mebibyte, 16 * mebibyte, 0, 0]))
})

test("an aborted diff ends with ECANCELED", async () => {
  const memory = loadNative().mapMemory(128 * mebibyte, { kind: "anonymous" })
  bytesOf(memory).fill(1)
  const error = await abortedFailureOf(() => memory.dumpDiff(null, 0, { candidates: "all", chunkBytes: mebibyte }))
  assert.is(error.errnoName, "ECANCELED")
  assert.is(error.operation, "dumpDiff")
  memory.close()
})

test("a file that cannot be written to, or is full, is told with operation and errno", async () => {
  const memory = loadNative().mapMemory(4 * mebibyte, { kind: "anonymous" })
  bytesOf(memory).fill(1)
  closeSync(newFile(0))
  for (const [fd, errnoName] of [
    [openSync(join(folder, readdirSync(folder)[0]!), "r"), "EBADF"],
    [openSync("/dev/full", "r+"), "ENOSPC"],
  ] as const) {
    const error = await failureOf(memory.dumpDiff(fd, 0, { candidates: "all" }))
    assert.is(error.operation, "pwritev")
    assert.is(error.errnoName, errnoName)
    closeSync(fd)
    assert.throws(() => memory.dumpDiff(fd, 0, { candidates: "all" }), /EBADF/)
  }
  memory.close()
})

test("a wrong argument is refused by its name", () => {
  const memory = loadNative().mapMemory(100 * page, { kind: "anonymous" })
  const closed = loadNative().mapMemory(100 * page, { kind: "anonymous" })
  closed.close()
  const other = loadNative().mapMemory(99 * page, { kind: "anonymous" })
  const start = (options: object) => () => memory.dumpDiff(null, 0, options as NativeDiffOptions)
  const refused: ReadonlyArray<readonly [call: () => unknown, message: RegExp]> = [
    [() => memory.dumpDiff(-1, 0, { candidates: "all" }), /fd must be/],
    [() => memory.dumpDiff(undefined as never, 0, { candidates: "all" }), /fd must be/],
    [() => memory.dumpDiff(null, 1, { candidates: "all" }), /fileOffset must be a multiple of 4096/],
    [() => memory.dumpDiff(null, 0, undefined as never), /options must be an object/],
    [start({}), /options\.candidates must be/],
    [start({ candidates: "some" }), /options\.candidates must be a Uint8Array, "written" or "all"/],
    [start({ candidates: new Uint8Array(15) }), /options\.candidates must be 16 bytes for 100 pages, not 15/],
    [start({ candidates: new Uint8Array(24) }), /options\.candidates must be 16 bytes/],
    [start({ candidates: bitmapOf([100], 101 * page) }), /options\.candidates has bits set behind the last page/],
    [start({ candidates: "written" }), /"written" only of memory that is mapped from a file/],
    [
      start({ candidates: "all", discarded: new Uint8Array(16) }),
      /options\.discarded goes with candidates that are "written"/,
    ],
    [start({ candidates: "all", baseline: closed }), /options\.baseline is closed/],
    [start({ candidates: "all", baseline: {} }), /options\.baseline must come from mapMemory/],
    [start({ candidates: "all", baseline: other }), /options\.baseline must be of the same size \(409600 bytes\)/],
    [start({ candidates: "all", chunkBytes: 4097 }), /options\.chunkBytes must be a multiple of 4096/],
    [start({ candidates: "all", chunkBytes: 0 }), /options\.chunkBytes must be above 0/],
  ]
  for (const [call, message] of refused) {
    assert.throws(call, (cause: unknown) => {
      const error = toKvmError(cause)
      assert.match(error.message, message)
      assert.is(error.operation, "dumpDiff")
      return true
    })
  }
  const fd = newFile(100 * page)
  const mapped = loadNative().mapMemory(100 * page, { kind: "file", fd, offset: 0 })
  assert.throws(
    () => mapped.dumpDiff(null, 0, { candidates: "written", discarded: new Uint8Array(8) }),
    /options\.discarded must be 16 bytes for 100 pages, not 8/,
  )
  mapped.close()
  closeSync(fd)
  memory.close()
  other.close()
  assert.throws(start({ candidates: "all" }), /this guest memory is closed/)
})

test.run()
