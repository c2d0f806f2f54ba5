// time limit: 180 s
import { closeSync, readdirSync, rmSync, writeSync } from "node:fs"
import { join } from "node:path"
import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative, type NativeMemory } from "../../src/native.ts"
import { chainPages, chains, type LaidRun, laidRuns, mapChain, zeros } from "../support/laid-files.ts"
import { bytesOf, isFilledWith, mebibyte, memoryFiles, page, ranges } from "../support/memory-files.ts"
import { follow, memorySteps } from "../support/memory-steps.ts"
import { ownNumbers, ownPages } from "../support/own-pages.ts"

const { folder, newFile } = memoryFiles("own-pages")

const fileOf = (pages: number, value: number) => {
  const fd = newFile(pages * page)
  writeSync(fd, Buffer.alloc(pages * page, value))
  return fd
}

/**
 * 256 pages of data, with 2 pages of zeros at 32 and 2 of another file at 64, both mapped, and single pages of both at 96
 * and 98, copied.
 */
const withLayers = async (use: (memory: NativeMemory, bytes: Uint8Array) => Promise<void>) => {
  const fds = [fileOf(8, 2)]
  const runs: readonly LaidRun[] = [
    [32 * page, 2 * page, zeros, 0],
    [64 * page, 2 * page, 0, 0],
    [96 * page, page, zeros, 0],
    [98 * page, page, 0, 2 * page],
  ]
  const fd = fileOf(256, 1)
  const memory = loadNative().mapMemory(256 * page, {
    kind: "file",
    fd,
    offset: 0,
    laid: { fds, runs: laidRuns(...runs) },
    maximumLaidRuns: 2,
  })
  for (const each of [fd, ...fds]) closeSync(each)
  try {
    assert.is(memory.copiedBytes, 2 * page)
    await use(memory, bytesOf(memory))
  } finally {
    memory.close()
  }
}

test("what is only read is nobody's own, wherever it comes from", () =>
  withLayers(async (memory, bytes) => {
    assert.equal(await ownNumbers(memory), [])
    for (let at = 0; at < bytes.length; at += page) assert.type(bytes[at], "number")
    assert.equal(await ownNumbers(memory), [])
  }))

test("what is written is, also with what was there", () =>
  withLayers(async (memory, bytes) => {
    for (const each of [5, 7, 64]) bytes[each * page] = bytes[each * page]!
    assert.equal(await ownNumbers(memory), [5, 7, 64])
    for (const each of [33, 65, 96, 98]) bytes[each * page + 9] = 0x99
    assert.equal(await ownNumbers(memory), [5, 7, 33, 64, 65, 96, 98])
  }))

test("laid zeros that are written with zeros, and copied pages with what they hold, are as they were", () =>
  withLayers(async (memory, bytes) => {
    bytes.fill(0, 32 * page, 34 * page)
    bytes.fill(0, 96 * page, 97 * page)
    bytes.fill(2, 98 * page, 99 * page)
    assert.equal(await ownNumbers(memory), [])
    bytes[98 * page] = 3
    assert.equal(await ownNumbers(memory), [98])
    bytes[98 * page] = 2
    assert.equal(await ownNumbers(memory), [])
  }))

test("what is discarded is zero, and its own where it was not zero", () =>
  withLayers(async (memory, bytes) => {
    memory.discard(ranges([4 * page, 2 * page], [31 * page, 2 * page], [65 * page, 34 * page]))
    const expected = [4, 5, 31, ...Array.from({ length: 34 }, (_, index) => 65 + index)].filter((each) => each !== 96)
    const own = await ownPages(memory)
    assert.equal([...own.keys()], expected)
    assert.equal([...new Set(own.values())], ["zeros"])
    bytes[4 * page] = 1
    bytes[96 * page] = 1
    assert.is((await ownPages(memory)).get(4), "data")
    assert.is((await ownPages(memory)).get(96), "data")
  }))

test("looking for them brings nothing in", () =>
  withLayers(async (memory) => {
    memory.discard(ranges([0, 200 * page]))
    await ownPages(memory)
    assert.is(memory.residentBytes(), 0)
  }))

test("many pages, in more than one go", async () => {
  const fd = newFile(160 * mebibyte)
  const memory = loadNative().mapMemory(160 * mebibyte, { kind: "file", fd, offset: 0 })
  closeSync(fd)
  const bytes = bytesOf(memory)
  const written: number[] = []
  for (let each = 3; each < memory.size / page; each += 7) {
    bytes[each * page] = 1
    written.push(each)
  }
  assert.equal(await ownNumbers(memory), written)
  memory.close()
})

test("nothing is missed, and nothing is told that was not touched or is as it was laid", async () => {
  await fc.assert(
    fc.asyncProperty(chains, memorySteps(chainPages), async (chain, steps) => {
      const { memory, runs, content } = mapChain(chain, newFile)
      const before = Buffer.from(content)
      const pageOf = (bytes: Buffer, index: number) => bytes.subarray(index * page, (index + 1) * page)
      const laid = (index: number) =>
        runs.find(([offset, length]) => offset <= index * page && index * page < offset + length)
      const look = async (touched: ReadonlySet<number>) => {
        const own = await ownPages(memory)
        for (let index = 0; index < chainPages; index++) {
          const now = pageOf(content, index)
          const isSame = Buffer.compare(now, pageOf(before, index)) === 0
          const told = own.get(index)
          if (!isSame) assert.ok(told !== undefined, `page ${index} is missed`)
          if (told === undefined) continue
          assert.ok(touched.has(index), `page ${index} was not touched`)
          assert.is(told, isFilledWith(now, 0) ? "zeros" : "data")
          const run = laid(index)
          const isCompared = run !== undefined && (run[2] === zeros || chain.maximumLaidRuns === 0)
          if (isCompared) assert.not(isSame, `page ${index} is as it was laid`)
        }
      }
      try {
        await follow(memory, content, steps, look)
      } finally {
        memory.close()
        for (const file of readdirSync(folder)) rmSync(join(folder, file))
      }
    }),
    { numRuns: 300 },
  )
})

test.run()
