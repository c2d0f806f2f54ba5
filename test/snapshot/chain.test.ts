// time limit: 120 s
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { mapMemories } from "../../src/memory/map-memory.ts"
import { loadNative } from "../../src/native.ts"
import { type Chain, type ChainOptions, openChain } from "../../src/snapshot/chain/chain.ts"
import type { ParentMismatch, ParentMissing } from "../../src/snapshot/chain/errors.ts"
import { PAGE_BYTES } from "../../src/snapshot/runs/runs.ts"
import { encodeEnvelope } from "../../src/state/envelope.ts"
import type { Manifest } from "../../src/state/manifest.ts"
import { sampleManifest } from "../state/samples.ts"
import {
  flatMemory,
  type HandMade,
  type Pages,
  pageOf,
  regionsOf,
  writeDiff,
  writeFull,
} from "../support/diff-chain.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const regions = regionsOf(24, 8)

const descriptors = () => readdirSync("/proc/self/fd").length

const opening = <A>(dir: string, use: (chain: Chain) => A | Promise<A>, options?: ChainOptions): Promise<A> =>
  Effect.runPromise(
    Effect.scoped(Effect.flatMap(openChain(dir, options), (chain) => Effect.promise(async () => await use(chain)))),
  )

const dirsOf = (dir: string, options?: ChainOptions) =>
  opening(dir, ({ links }) => links.map((link) => link.dir), options)

type ChainFailure = Effect.Error<ReturnType<typeof openChain>>

const failureOf = async (dir: string, options?: ChainOptions): Promise<ChainFailure> => {
  const before = descriptors()
  const error = await Effect.runPromise(Effect.flip(Effect.scoped(openChain(dir, options))))
  assert.is(descriptors(), before)
  return error
}

/** The memory of a chain as it is mapped. */
const mappedMemory = (dir: string, options?: ChainOptions): Promise<Uint8Array> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const { memories } = yield* openChain(dir, options)
        const mapped = yield* mapMemories(loadNative(), memories)
        return new Uint8Array(Buffer.concat(mapped.map((memory) => new Uint8Array(memory.window(0, memory.size)))))
      }),
    ),
  )

const assertSame = (actual: Uint8Array, expected: Uint8Array): void => {
  assert.is(Buffer.compare(actual, expected), 0)
}

/** A full snapshot and differences to it, called 0, 1, and so on. */
const writeChain = (
  folder: string,
  layers: readonly Pages[],
  layout: Manifest["memory"]["regions"] = regions,
): readonly HandMade[] => {
  const chain: HandMade[] = []
  for (const [index, pages] of layers.entries()) {
    const dir = join(folder, String(index))
    const parent = chain.at(-1)
    chain.push(parent === undefined ? writeFull(dir, layout, pages) : writeDiff(dir, parent, pages))
  }
  return chain
}

const layers: readonly Pages[] = [
  new Map([0, 1, 2, 3, 22, 23, 24, 25].map((page) => [page, 100 + page])),
  new Map([1, 2, 23, 24, 31].map((page) => [page, 200 + page])),
  new Map([
    [2, 0],
    [3, 0],
    [25, 325],
  ]),
]

const withChain = async (use: (chain: readonly HandMade[], folder: string) => Promise<void>): Promise<void> => {
  using scratch = temporaryDirectory()
  await use(writeChain(scratch.path, layers), scratch.path)
}

test("a chain is opened from the full snapshot to the newest, and maps to what each memory was", () =>
  withChain(async (chain) => {
    const before = descriptors()
    for (const [index, { dir, digest, manifest }] of chain.entries()) {
      await opening(dir, ({ links, memories }) => {
        assert.equal(
          links.map((link) => link.dir),
          chain.slice(0, index + 1).map((each) => each.dir),
        )
        const last = links.at(-1)
        assert.is(last?.header.digest, digest)
        assert.equal(last?.manifest, manifest)
        assert.is(last?.runs === undefined, index === 0)
        assert.equal(
          memories.map(({ size }) => size),
          regions.map(({ size }) => size),
        )
        assert.is(descriptors(), before + index + 1)
      })
      assert.is(descriptors(), before)
      assertSame(await mappedMemory(dir), flatMemory(regions, layers.slice(0, index + 1)))
    }
  }))

test("a full snapshot has nothing laid over it, and a region only files that it needs", () =>
  withChain(async ([full, , newest]) => {
    await opening(full?.dir ?? "", ({ memories }) => {
      for (const { source } of memories) assert.not.ok("laid" in source)
    })
    await opening(newest?.dir ?? "", ({ memories, links }) => {
      const laid = memories.map(({ source }) => (source.kind === "file" ? source.laid : undefined))
      // Of the first region, the newest changed pages only to zeros.
      assert.equal(laid[0]?.fds, [links[1]?.fd])
      assert.equal(laid[1]?.fds, [links[1]?.fd, links[2]?.fd])
      assert.ok((laid[0]?.runs.length ?? 0) > 0)
    })
  }))

test("whatever changed in whatever order, what is mapped is the newest of every page", async () => {
  const value = fc.oneof(
    { weight: 1, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.nat({ max: 0xffff_ffff }) },
  )
  const pages = fc.array(fc.tuple(fc.nat({ max: 31 }), value), { maxLength: 20 }).map((list) => new Map(list))
  await fc.assert(
    fc.asyncProperty(fc.array(pages, { minLength: 1, maxLength: 8 }), async (random) => {
      using scratch = temporaryDirectory()
      const chain = writeChain(scratch.path, random)
      assertSame(await mappedMemory(chain.at(-1)?.dir ?? ""), flatMemory(regions, random))
    }),
    { numRuns: 60 },
  )
})

test("memory on both sides of the gap below 4 GiB", async () => {
  using scratch = temporaryDirectory()
  const large = [
    { guestAddress: 0, size: 3 * 2 ** 30, fileOffset: 0 },
    { guestAddress: 2 ** 32, size: 2 ** 30, fileOffset: 3 * 2 ** 30 },
  ]
  const lastBelow = large[0] ? large[0].size / PAGE_BYTES - 1 : 0
  const last = 2 ** 20 - 1
  const chain = writeChain(
    scratch.path,
    [
      new Map([
        [0, 1],
        [lastBelow, 2],
        [lastBelow + 1, 3],
        [last, 4],
      ]),
      new Map([
        [lastBelow, 12],
        [lastBelow + 1, 13],
        [last - 5, 14],
      ]),
      new Map([
        [lastBelow + 1, 0],
        [last, 24],
      ]),
    ],
    large,
  )
  await opening(chain[2]?.dir ?? "", ({ memories }) => {
    const mapped = memories.map(({ size, source }) => loadNative().mapMemory(size, source))
    const pageAt = (page: number): number => {
      const [memory, offset] = page <= lastBelow ? [mapped[0], page] : [mapped[1], page - lastBelow - 1]
      const bytes = new Uint8Array(memory?.window(offset * PAGE_BYTES, PAGE_BYTES) ?? new ArrayBuffer(0))
      const value = new Uint32Array(bytes.buffer)[0] ?? -1
      assertSame(bytes, pageOf(value))
      return value
    }
    const places = [0, 1, lastBelow, lastBelow + 1, last - 5, last - 1, last]
    assert.equal(places.map(pageAt), [1, 0, 12, 0, 14, 0, 24])
    for (const memory of mapped) memory.close()
  })
})

test("a parent of an older format is one as good", async () => {
  for (const formatVersion of [1, 2]) {
    using scratch = temporaryDirectory()
    const sample = sampleManifest()
    const manifest = { ...sample, host: { ...sample.host, cryovm: null } }
    const full = writeFull(join(scratch.path, "full"), regions, layers[0] as Pages, { manifest, formatVersion })
    const diff = writeDiff(join(scratch.path, "diff"), full, layers[1] as Pages)
    assertSame(await mappedMemory(diff.dir), flatMemory(regions, layers.slice(0, 2)))
    const changed = encodeEnvelope({
      ...full,
      formatVersion,
      manifest: { ...full.manifest, createdAt: "2026-02-01T12:00:00.000Z" },
    })
    writeFileSync(join(full.dir, "state.cryo"), changed)
    assert.is((await failureOf(diff.dir))._tag, "ParentMismatch")
  }
})

test("a parent that was renamed is found beside the snapshot, by its digest", () =>
  withChain(async ([full, middle, newest], folder) => {
    renameSync(full?.dir ?? "", join(folder, "renamed"))
    renameSync(middle?.dir ?? "", join(folder, "another"))
    mkdirSync(join(folder, "no-snapshot"))
    writeFileSync(join(folder, "file"), "")
    assert.equal(await dirsOf(newest?.dir ?? ""), [join(folder, "renamed"), join(folder, "another"), newest?.dir])
  }))

test("a snapshot is opened through a symbolic link, its parents beside where it really is", () =>
  withChain(async (chain, folder) => {
    mkdirSync(join(folder, "links"))
    const link = join(folder, "links", "newest")
    symlinkSync(chain[2]?.dir ?? "", link)
    assert.equal(await dirsOf(link), [chain[0]?.dir, chain[1]?.dir, link])
  }))

test("parents are looked for where they are said to be first, by themselves or in a folder", () =>
  withChain(async ([full, middle, newest], folder) => {
    const shelf = join(folder, "shelf")
    mkdirSync(shelf)
    const copy = join(shelf, "copy")
    cpSync(full?.dir ?? "", copy, { recursive: true })
    assert.equal(await dirsOf(newest?.dir ?? "", { parents: [shelf] }), [copy, middle?.dir, newest?.dir])
    assert.equal(await dirsOf(newest?.dir ?? "", { parents: [copy] }), [copy, middle?.dir, newest?.dir])
    rmSync(full?.dir ?? "", { recursive: true })
    assert.is((await failureOf(newest?.dir ?? ""))._tag, "ParentMissing")
    const parents = [join(folder, "nothing"), newest?.dir ?? "", shelf]
    assert.equal(await dirsOf(newest?.dir ?? "", { parents }), [copy, middle?.dir, newest?.dir])
  }))

test("a parent that is nowhere: what was looked at, and what to do", () =>
  withChain(async ([full, middle, newest], folder) => {
    rmSync(full?.dir ?? "", { recursive: true })
    const elsewhere = join(folder, "elsewhere")
    const error = (await failureOf(newest?.dir ?? "", {
      parents: [elsewhere, newest?.dir ?? "", "/proc/self/mem"],
    })) as ParentMissing
    assert.is(error._tag, "ParentMissing")
    assert.is(error.code, "CRYOVM_PARENT_MISSING")
    assert.is(error.dir, middle?.dir)
    assert.is(error.parentId, full?.manifest.id)
    assert.is(error.parentDigest, full?.digest)
    assert.equal(error.lookedAt, [
      `${elsewhere} (nothing is there)`,
      `${newest?.dir} (another snapshot)`,
      "/proc/self/mem (nothing is there)",
      `${full?.dir} (nothing is there)`,
      `${folder} (a folder with 2 snapshots)`,
    ])
    assert.match(error.message, /put it beside .*parents/)
  }))

test("a parent whose header cannot be read is told of", () =>
  withChain(async ([full, middle]) => {
    const state = full?.state.slice() ?? new Uint8Array(0)
    state[50] = (state[50] ?? 0) ^ 1
    writeFileSync(join(full?.dir ?? "", "state.cryo"), state)
    const error = await failureOf(middle?.dir ?? "")
    assert.is(error._tag, "ParentMissing")
    assert.match(error.message, `${full?.dir} (cannot be read: state.cryo is damaged`)
  }))

test("a parent that was changed is never taken, and told from one that is missing", () =>
  withChain(async ([full, middle, newest], folder) => {
    if (full === undefined || middle === undefined || newest === undefined) return
    const changed = { ...full.manifest, machine: { ...full.manifest.machine, label: "changed" } }
    const state = encodeEnvelope({ manifest: changed, sections: full.sections })
    writeFileSync(join(full.dir, "state.cryo"), state)
    const error = (await failureOf(newest.dir)) as ParentMismatch
    assert.is(error._tag, "ParentMismatch")
    assert.is(error.code, "CRYOVM_PARENT_MISMATCH")
    assert.is(error.dir, middle.dir)
    assert.is(error.parentDir, full.dir)
    assert.is(error.expectedDigest, full.digest)
    assert.not.equal(error.actualDigest, full.digest)
    assert.match(error.message, /changed or replaced/)
    // The one that it was is taken wherever it is.
    const original = join(folder, "original")
    cpSync(full.dir, original, { recursive: true })
    writeFileSync(join(original, "state.cryo"), full.state)
    assert.equal(await dirsOf(newest.dir), [original, middle.dir, newest.dir])
  }))

test("a parent of the right digest whose manifest is damaged", () =>
  withChain(async ([full, middle]) => {
    const state = full?.state.slice() ?? new Uint8Array(0)
    state[300] = (state[300] ?? 0) ^ 1
    writeFileSync(join(full?.dir ?? "", "state.cryo"), state)
    const error = await failureOf(middle?.dir ?? "")
    assert.is(error._tag, "ParentUnreadable")
    assert.match(error.message, `${full?.dir}, cannot be read: state.cryo is damaged: the manifest`)
  }))

test("a parent of another layout", async () => {
  using scratch = temporaryDirectory()
  const full = writeFull(join(scratch.path, "full"), regionsOf(24, 8), layers[0] as Pages)
  const other = {
    ...full,
    manifest: { ...full.manifest, memory: { ...full.manifest.memory, regions: regionsOf(8, 24) } },
  }
  const diff = writeDiff(join(scratch.path, "diff"), other, layers[1] as Pages)
  const error = await failureOf(diff.dir)
  assert.is(error._tag, "SnapshotInconsistent")
  assert.match(error.message, full.dir)
})

test("memory files that are missing, cut or damaged, of any link", () =>
  withChain(async (chain) => {
    const newest = chain[2]?.dir ?? ""
    const files = ["memory.img", "memory.diff", "memory.diff"].map((name, index) => join(chain[index]?.dir ?? "", name))
    for (const path of files) {
      const content = readFileSync(path)
      truncateSync(path, content.length - PAGE_BYTES)
      assert.is((await failureOf(newest))._tag, "MemoryFileInvalid")
      rmSync(path)
      assert.is((await failureOf(newest))._tag, "MemoryFileInvalid")
      mkdirSync(path)
      assert.is((await failureOf(newest))._tag, "MemoryFileInvalid")
      rmSync(path, { recursive: true })
      writeFileSync(path, content)
    }
    for (const path of files.slice(1)) {
      const content = readFileSync(path)
      const damaged = Buffer.from(content)
      damaged.writeUInt8(7, damaged.length - PAGE_BYTES)
      writeFileSync(path, damaged)
      const error = await failureOf(newest)
      assert.is(error._tag, "MemoryDiffInvalid")
      assert.match(error.message, path)
      writeFileSync(path, content)
    }
    await dirsOf(newest)
  }))

test("sizes that a manifest claims are held against each other before anything is read", async () => {
  using scratch = temporaryDirectory()
  const full = writeFull(join(scratch.path, "full"), regions, layers[0] as Pages)
  const diff = writeDiff(join(scratch.path, "diff"), full, layers[1] as Pages)
  const claim = async (memory: Partial<Manifest["memory"]>, fileBytes: number) => {
    const manifest = { ...diff.manifest, memory: { ...diff.manifest.memory, ...memory } }
    writeFileSync(join(diff.dir, "state.cryo"), encodeEnvelope({ manifest, sections: diff.sections }))
    truncateSync(join(diff.dir, "memory.diff"), fileBytes)
    return await failureOf(diff.dir)
  }
  const huge = 2 ** 42
  const file = { name: "memory.diff", size: huge }
  const claimed = async (runs: number) => (await claim({ file, diff: { tableOffset: 2 ** 20, runs } }, huge))._tag
  assert.is(await claimed(2 ** 37), "ChainTooLarge")
  assert.is(await claimed(2 ** 24), "MemoryDiffInvalid")
  assert.is(await claimed(33), "MemoryDiffInvalid")
})

test("more snapshots than a chain can have", async () => {
  using scratch = temporaryDirectory()
  const none: Pages = new Map()
  const chain = writeChain(
    scratch.path,
    Array.from({ length: 257 }, () => none),
  )
  assert.is((await dirsOf(chain[255]?.dir ?? "")).length, 256)
  const error = await failureOf(chain[256]?.dir ?? "")
  assert.is(error._tag, "ChainTooLarge")
  assert.match(error.message, "256")
})

test("manifests that together are larger than any are", async () => {
  using scratch = temporaryDirectory()
  const sample = sampleManifest()
  const resource = { name: "disk0", kind: "block", path: "x".repeat(15 * 2 ** 20) }
  const manifest = { ...sample, resources: [resource] }
  const chain = [writeFull(join(scratch.path, "0"), regions, new Map(), { manifest })]
  for (let index = 1; index < 5; index++) {
    chain.push(writeDiff(join(scratch.path, String(index)), chain[index - 1] as HandMade, new Map()))
  }
  assert.is((await dirsOf(chain[3]?.dir ?? "")).length, 4)
  const error = await failureOf(chain[4]?.dir ?? "")
  assert.is(error._tag, "ChainTooLarge")
  assert.match(error.message, "bytes of manifests")
})

test("interruption at any time leaves no descriptor open", () =>
  withChain(async (chain) => {
    const before = descriptors()
    for (let round = 0; round < 300; round++) {
      const fiber = Effect.runFork(Effect.scoped(Effect.andThen(openChain(chain[2]?.dir ?? ""), Effect.never)))
      for (let turns = round % 40; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
      fiber.interruptUnsafe()
    }
    const until = performance.now() + 10_000
    while (descriptors() !== before && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 10))
    assert.is(descriptors(), before)
  }))

test.run()
