import { closeSync, openSync, readSync, writeSync } from "node:fs"
import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative } from "../../src/native.ts"
import { bytesOf, mebibyte, memoryFiles, page } from "../support/memory-files.ts"
import { abortedFailureOf, failureOf } from "../support/native-jobs.ts"

const { folder, newFile } = memoryFiles("digest")

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex")
const digestsOf = (digests: Uint8Array) =>
  Array.from({ length: digests.length / 16 }, (_, index) => hex(digests.subarray(index * 16, (index + 1) * 16)))

/** Of a chunk without anything: XXH3-128 of no bytes. */
const digestOfNothing = "99aa06d3014798d86001c324468d497f"

/** Whose bytes go up in steps of seven. */
const counting = (first: number) => Uint8Array.from({ length: page }, (_, index) => (index * 7 + first) % 256)

/** A chunk of 1 MiB from some of its pages. */
const chunkOf = (...pages: ReadonlyArray<readonly [number: number, content: Uint8Array]>) => {
  const chunk = new Uint8Array(mebibyte)
  for (const [number, content] of pages) chunk.set(content, number * page)
  return chunk
}

// Computed once with `xxhsum -H128` of Debian's package xxhash 0.8.1, over a file with the numbers of the pages as 8 bytes
// little endian and the pages.
const known: ReadonlyArray<readonly [name: string, chunk: Uint8Array, digest: string]> = [
  ["nothing", chunkOf(), digestOfNothing],
  ["one page at the start", chunkOf([0, new Uint8Array(page).fill(0xa5)]), "4dd755ca7e7013d86804314c292e0251"],
  [
    "one bit at the end",
    chunkOf([255, Uint8Array.from({ length: page }, (_, index) => (index === page - 1 ? 1 : 0))]),
    "5dcd8aa59ef6ff4a6ae9b75a066ea1d7",
  ],
  [
    "three pages with gaps",
    chunkOf([0, counting(0)], [3, counting(3)], [4, counting(4)]),
    "18d6f57529429270d2294aa33876b417",
  ],
  [
    "every page",
    chunkOf(...Array.from({ length: 256 }, (_, index) => [index, counting(index)] as const)),
    "61d955e32331f574c24e61b77baa28ed",
  ],
]

for (const [name, chunk, digest] of known) {
  test(`the digest that xxhsum computes: ${name}`, () => {
    assert.is(hex(loadNative().digest(chunk, mebibyte)), digest)
  })
}

test("chunks stand alone, the last may be short, and what is empty is the digest of nothing", () => {
  const { digest } = loadNative()
  const bytes = new Uint8Array(3 * mebibyte + page)
  bytes.set(chunkOf([0, counting(0)], [3, counting(3)], [4, counting(4)]), mebibyte)
  bytes.fill(0xa5, 3 * mebibyte)
  assert.equal(digestsOf(digest(bytes, mebibyte)), [
    digestOfNothing,
    "18d6f57529429270d2294aa33876b417",
    digestOfNothing,
    "4dd755ca7e7013d86804314c292e0251",
  ])
  assert.is(digest(new Uint8Array(0), mebibyte).length, 0)
  // One chunk that nothing fills: its pages count from its start.
  assert.is(hex(digest(bytes.subarray(3 * mebibyte), 64 * mebibyte)), "4dd755ca7e7013d86804314c292e0251")
})

/** Sparse content of some pages: where data is, and from what. */
const contents = fc.record({
  pages: fc.integer({ min: 1, max: 40 }),
  chunkPages: fc.integer({ min: 1, max: 12 }),
  data: fc.uniqueArray(fc.tuple(fc.nat({ max: 39 }), fc.integer({ min: 1, max: 255 })), {
    selector: ([at]) => at,
    maxLength: 20,
  }),
})
const bytesFrom = ({ pages, data }: { readonly pages: number; readonly data: ReadonlyArray<[number, number]> }) => {
  const bytes = new Uint8Array(pages * page)
  for (const [at, value] of data) if (at < pages) bytes.set(counting(value), at * page)
  return bytes
}

test("bytes, a file and a dump of the same content have the same digests", () =>
  fc.assert(
    fc.asyncProperty(contents, fc.nat({ max: 3 }), async (content, shift) => {
      const native = loadNative()
      const bytes = bytesFrom(content)
      const chunkBytes = content.chunkPages * page
      const expected = hex(native.digest(bytes, chunkBytes))
      assert.is(expected.length, Math.ceil(content.pages / content.chunkPages) * 32)

      const memory = native.mapMemory(bytes.length, { kind: "anonymous" })
      bytesOf(memory).set(bytes)
      // Holes where there is nothing, and what lies around it is something else.
      const fd = newFile(shift * page + bytes.length)
      const dump = await memory.dump(fd, shift * page, chunkBytes).done
      assert.is(hex(dump.digests), expected, "of the dump")
      memory.close()
      writeSync(fd, counting(1), 0, page, shift * page + bytes.length)
      if (shift > 0) writeSync(fd, counting(2), 0, page, (shift - 1) * page)
      const ofHoles = await native.digestFile(fd, shift * page, bytes.length, chunkBytes).done
      assert.is(hex(ofHoles), expected, "of the file")

      // The same with zeros that are written out.
      writeSync(fd, bytes, 0, bytes.length, shift * page)
      assert.is(hex(await native.digestFile(fd, shift * page, bytes.length, chunkBytes).done), expected, "of zeros")
      closeSync(fd)
    }),
    { numRuns: 100 },
  ))

test("a flipped bit anywhere changes exactly one chunk's digest", () =>
  fc.assert(
    fc.property(contents, fc.nat(), fc.nat({ max: 7 }), (content, place, bit) => {
      const { digest } = loadNative()
      const bytes = bytesFrom(content)
      const chunkBytes = content.chunkPages * page
      const before = digestsOf(digest(bytes, chunkBytes))
      const at = place % bytes.length
      bytes[at]! ^= 1 << bit
      const changed = digestsOf(digest(bytes, chunkBytes)).flatMap((each, index) =>
        each === before[index] ? [] : index,
      )
      assert.equal(changed, [Math.floor(at / chunkBytes)])
    }),
    { numRuns: 300 },
  ))

test("the same pages at another place of the chunk are another digest", () => {
  const { digest } = loadNative()
  const digests = [0, 1, 254, 255].map((at) => hex(digest(chunkOf([at, counting(1)]), mebibyte)))
  assert.is(new Set(digests).size, 4)
})

test("bytes that are aligned to nothing", () => {
  const { digest } = loadNative()
  const backing = new Uint8Array(3 * page + 64)
  for (let at = 0; at < 64; at++) {
    const bytes = backing.fill(0).subarray(at, at + 3 * page)
    bytes.set(counting(0), 0)
    assert.is(hex(digest(bytes, mebibyte)), hex(digest(bytes.slice(), mebibyte)))
  }
})

test("what is behind the end of a file is not there, as a hole is", async () => {
  const { digest, digestFile } = loadNative()
  const fd = newFile(0)
  assert.equal(digestsOf(await digestFile(fd, 0, 2 * mebibyte, mebibyte).done), [digestOfNothing, digestOfNothing])
  // The file ends within a page.
  writeSync(fd, counting(5), 0, 100, mebibyte + page)
  const expected = new Uint8Array(2 * mebibyte)
  expected.set(counting(5).subarray(0, 100), mebibyte + page)
  const job = digestFile(fd, 0, 2 * mebibyte, mebibyte)
  assert.is(hex(await job.done), hex(digest(expected, mebibyte)))
  assert.is(job.scannedBytes, 2 * mebibyte)
  assert.is((await digestFile(fd, page, 0, mebibyte).done).length, 0)
  closeSync(fd)
})

test("the caller's position in the file stays where it is", async () => {
  const fd = newFile(0)
  writeSync(fd, counting(1), 0, page, 0)
  const read = Buffer.alloc(100)
  readSync(fd, read)
  await loadNative().digestFile(fd, 0, mebibyte, mebibyte).done
  readSync(fd, read)
  assert.is(Buffer.compare(read, counting(1).subarray(100, 200)), 0)
  closeSync(fd)
})

test("digesting a file can be aborted, and goes on when the descriptor is closed", async () => {
  const { digestFile } = loadNative()
  const fd = newFile(0)
  const data = new Uint8Array(8 * mebibyte).fill(1)
  for (let written = 0; written < 128; written += 8) writeSync(fd, data)
  const error = await abortedFailureOf(() => digestFile(fd, 0, 128 * mebibyte, 128 * mebibyte))
  assert.is(error.errnoName, "ECANCELED")
  assert.is(error.operation, "digestFile")
  const whole = digestFile(fd, 0, 128 * mebibyte, 128 * mebibyte)
  closeSync(fd)
  assert.is((await whole.done).length, 16)
})

test("a wrong argument is refused by its name, and a file that cannot be read is told", async () => {
  const { digest, digestFile } = loadNative()
  const bytes = new Uint8Array(page)
  for (const [call, message] of [
    [() => digest(new Uint8Array(page - 1), page), /bytes must be a multiple of 4096/],
    [() => digest(new Float64Array(512) as never, page), /bytes must be a Uint8Array/],
    [() => digest(bytes, 0), /chunkBytes must be above 0/],
    [() => digest(bytes, 4095), /chunkBytes must be a multiple of 4096/],
    [() => digest(bytes, undefined as never), /chunkBytes is missing/],
    [() => digest(bytes, -page), /chunkBytes must be a whole number/],
    [() => digestFile(-1, 0, page, page), /fd must be/],
    [() => digestFile(0, 1, page, page), /offset must be a multiple of 4096/],
    [() => digestFile(0, 0, 1, page), /length must be a multiple of 4096/],
    [() => digestFile(0, Number.MAX_SAFE_INTEGER - 4095, page, page), /length must be a whole number/],
    [() => digestFile(0, 0, page, 1), /chunkBytes must be a multiple of 4096/],
    [() => digestFile(987, 0, page, page), /EBADF/],
  ] as const) {
    assert.throws(call, message)
  }
  const directory = openSync(folder, "r")
  assert.is((await failureOf(digestFile(directory, 0, page, page))).errnoName, "EISDIR")
  closeSync(directory)
})

test.run()
