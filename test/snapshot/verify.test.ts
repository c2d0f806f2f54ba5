// time limit: 300 s
/** Damage in chains made by hand: every kind of it is found, and said where it is. None of it needs KVM. */
import {
  closeSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { join } from "node:path"
import fc from "fast-check"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import { type SnapshotVerification, verifySnapshot } from "../../src/index.ts"
import { STATE_FILE } from "../../src/snapshot/bundle/bundle.ts"
import { DIGEST_CHUNK_BYTES } from "../../src/snapshot/runs/memory-diff.ts"
import { PAGE_BYTES } from "../../src/snapshot/runs/runs.ts"
import { encodeEnvelope } from "../../src/state/envelope.ts"
import { type HandMade, writeFull } from "../support/diff-chain.ts"
import { forgeState } from "../support/forged-state.ts"
import { holdings } from "../support/process.ts"
import { flipBit, frozenMachine, regions, sealedDiff, sealedFull } from "../support/sealed-chain.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const MEMORY_BYTES = frozenMachine.manifest.memory.size
/** A page of the base that nobody changed, behind the first chunk. */
const LONE_PAGE = 1000

interface Context {
  scratch: ReturnType<typeof temporaryDirectory>
  base: HandMade
  middle: HandMade
  newest: HandMade
}

const test = suite<Context>("verify")

test.before.each(async (context) => {
  const scratch = temporaryDirectory()
  const base = await sealedFull(
    join(scratch.path, "base"),
    new Map([
      [0, 1],
      [1, 2],
      [LONE_PAGE, 3],
    ]),
  )
  const middle = await sealedDiff(
    join(scratch.path, "middle"),
    base,
    new Map([
      [1, 4],
      [7, 5],
      [9, 0],
    ]),
  )
  const newest = await sealedDiff(join(scratch.path, "newest"), middle, new Map([[5, 6]]))
  Object.assign(context, { scratch, base, middle, newest })
})
test.after.each(({ scratch }) => scratch[Symbol.dispose]())

const memoryFile = ({ dir, manifest }: HandMade): string => join(dir, manifest.memory.file.name)
const stateFile = ({ dir }: HandMade): string => join(dir, STATE_FILE)

/** The part, the code and the directory of everything that is wrong. */
const found = ({ ok, links }: SnapshotVerification) => {
  const problems = links.flatMap(({ dir, problems: each }) => each.map(({ part, code }) => [dir, part, code]))
  assert.is(ok, problems.length === 0)
  return problems
}

test("an undamaged chain: every snapshot is looked at, the newest first, and every bit of it", async ({
  base,
  middle,
  newest,
}) => {
  const { ok, links } = await verifySnapshot(newest.dir)
  assert.ok(ok)
  const bytesOf = (snapshot: HandMade) => statSync(stateFile(snapshot)).size + statSync(memoryFile(snapshot)).size
  assert.equal(
    links,
    [newest, middle, base].map((snapshot) => ({
      dir: snapshot.dir,
      id: snapshot.manifest.id,
      problems: [],
      checkedBytes: bytesOf(snapshot),
      hasDigests: true,
    })),
  )
  const alone = await verifySnapshot(newest.dir, { chain: false })
  assert.equal(alone.links, links.slice(0, 1))
})

test("progress counts up to the bytes of all memory files", async ({ base, newest, middle }) => {
  const total = [base, middle, newest].reduce((sum, snapshot) => sum + statSync(memoryFile(snapshot)).size, 0)
  const seen: number[] = []
  await verifySnapshot(newest.dir, {
    onProgress: ({ doneBytes, totalBytes }) => {
      assert.is(totalBytes, total)
      seen.push(doneBytes)
    },
  })
  assert.equal(
    [...seen].sort((a, b) => a - b),
    seen,
  )
  assert.is(seen.at(-1), total)
})

test("any bit of any state file, turned around, is found", async ({ base, middle, newest }) => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(base, middle, newest), fc.nat(), fc.nat(7), async (snapshot, place, bit) => {
      const path = stateFile(snapshot)
      const byte = place % snapshot.state.length
      flipBit(path, byte, bit)
      const { ok, links } = await verifySnapshot(newest.dir)
      flipBit(path, byte, bit)
      assert.not.ok(ok)
      assert.ok(links.some(({ problems }) => problems.length > 0))
    }),
    { numRuns: 150 },
  )
  assert.ok((await verifySnapshot(newest.dir)).ok)
})

/** Turns a bit of an open file around, also in a hole. */
const withFlip = async (path: string, byte: number, bit: number, look: () => Promise<void>): Promise<void> => {
  const fd = openSync(path, "r+")
  const one = new Uint8Array(1)
  const flip = () => {
    readSync(fd, one, 0, 1, byte)
    one[0]! ^= 1 << bit
    writeSync(fd, one, 0, 1, byte)
  }
  try {
    flip()
    await look()
    flip()
  } finally {
    closeSync(fd)
  }
}

test("any bit of a full memory file, turned around, is found with its address: in pages, zeros and holes", async ({
  base,
}) => {
  const nearData = fc.tuple(fc.constantFrom(0, 1, LONE_PAGE), fc.nat(PAGE_BYTES - 1))
  const place = fc.oneof(
    nearData.map(([page, byte]) => page * PAGE_BYTES + byte),
    fc.nat(MEMORY_BYTES - 1),
  )
  await fc.assert(
    fc.asyncProperty(place, fc.nat(7), (byte, bit) =>
      withFlip(memoryFile(base), byte, bit, async () => {
        const { links } = await verifySnapshot(base.dir)
        const [problem, ...more] = links[0]!.problems
        const offset = Math.floor(byte / DIGEST_CHUNK_BYTES) * DIGEST_CHUNK_BYTES
        assert.equal(more, [])
        assert.is(problem?.part, "memory")
        assert.equal(problem?.fileRange, { offset, length: DIGEST_CHUNK_BYTES })
        assert.equal(problem?.guestRanges, [{ guestAddress: offset, size: DIGEST_CHUNK_BYTES }])
      }),
    ),
    { numRuns: 100 },
  )
})

test("any bit of a diff's memory file, turned around, is found: in pages, in the table, and in between", async ({
  middle,
}) => {
  const { size } = statSync(memoryFile(middle))
  const { tableOffset } = middle.manifest.memory.diff!
  // Every byte of the pages and of the table in turn, a bit each; what is between them at random.
  const isFound = async (byte: number, bit: number) =>
    withFlip(memoryFile(middle), byte, bit, async () => {
      const { ok, links } = await verifySnapshot(middle.dir, { chain: false })
      assert.not.ok(ok, `byte ${byte}`)
      assert.ok(links[0]!.problems.every(({ part }) => part === "memory"))
    })
  for (let byte = 0; byte < 2 * PAGE_BYTES; byte += 17) await isFound(byte, byte % 8)
  for (let byte = tableOffset; byte < tableOffset + 32 + 3 * 24; byte += 1) await isFound(byte, byte % 8)
  await fc.assert(fc.asyncProperty(fc.nat(size - 1), fc.nat(7), isFound), { numRuns: 50 })
})

test("of a diff it is said which pages of the guest a damaged chunk holds, and when it is the table", async ({
  middle,
}) => {
  await withFlip(memoryFile(middle), 100, 0, async () => {
    const { links } = await verifySnapshot(middle.dir, { chain: false })
    assert.equal(links[0]!.problems[0]?.guestRanges, [
      { guestAddress: PAGE_BYTES, size: PAGE_BYTES },
      { guestAddress: 7 * PAGE_BYTES, size: PAGE_BYTES },
    ])
    assert.match(links[0]!.problems[0]?.message ?? "", /memory\.diff: the 1048576 bytes at 0.* 0x1000 .*and 1 more/)
  })
  await withFlip(memoryFile(middle), statSync(memoryFile(middle)).size - 1, 0, async () => {
    const { links } = await verifySnapshot(middle.dir, { chain: false })
    const [table, chunk] = links[0]!.problems
    assert.is(table?.code, "CRYOVM_MEMORY_DIFF_INVALID")
    assert.match(chunk?.message ?? "", "the table of what changed")
    assert.equal(chunk?.guestRanges, [])
  })
})

test("neighbouring damaged chunks are one problem", async ({ base }) => {
  await withFlip(memoryFile(base), 3 * DIGEST_CHUNK_BYTES - 1, 0, () =>
    withFlip(memoryFile(base), 3 * DIGEST_CHUNK_BYTES, 0, () =>
      withFlip(memoryFile(base), 9 * DIGEST_CHUNK_BYTES, 0, async () => {
        const { links } = await verifySnapshot(base.dir)
        assert.equal(
          links[0]!.problems.map(({ fileRange }) => fileRange),
          [
            { offset: 2 * DIGEST_CHUNK_BYTES, length: 2 * DIGEST_CHUNK_BYTES },
            { offset: 9 * DIGEST_CHUNK_BYTES, length: DIGEST_CHUNK_BYTES },
          ],
        )
      }),
    ),
  )
})

test("files that are cut short, go on, or are gone", async ({ scratch, base, middle, newest }) => {
  for (const snapshot of [base, middle, newest]) {
    const path = memoryFile(snapshot)
    const content = readFileSync(path)
    const invalid = [[snapshot.dir, "memory", "CRYOVM_MEMORY_FILE_INVALID"]]
    for (const length of [0, 1, content.length - PAGE_BYTES, content.length - 1, content.length + 1]) {
      truncateSync(path, length)
      assert.equal(found(await verifySnapshot(newest.dir)), invalid, `${path}: ${length}`)
    }
    rmSync(path)
    assert.equal(found(await verifySnapshot(newest.dir)), invalid)
    writeFileSync(path, content)
  }
  for (const length of [0, 5, 227, newest.state.length - 1]) {
    writeFileSync(stateFile(newest), newest.state.subarray(0, length))
    const [problem] = found(await verifySnapshot(newest.dir))
    assert.equal(problem?.slice(0, 2), [newest.dir, "state file"])
  }
  const extended = openSync(stateFile(newest), "w")
  ftruncateSync(extended, 300 * 2 ** 20)
  closeSync(extended)
  assert.equal(found(await verifySnapshot(newest.dir)), [[newest.dir, "state file", "CRYOVM_STATE_TOO_LARGE"]])
  rmSync(stateFile(newest))
  assert.equal(found(await verifySnapshot(newest.dir)), [[newest.dir, "state file", "CRYOVM_SNAPSHOT_INCOMPLETE"]])
  const nowhere = await verifySnapshot(join(scratch.path, "nowhere")).catch((error: { readonly code: string }) => error)
  assert.is((nowhere as { readonly code: string }).code, "CRYOVM_SNAPSHOT_NOT_FOUND")
})

test("a parent that is gone, damaged or another one is told of its child; what is behind it is not looked at", async ({
  base,
  middle,
  newest,
}) => {
  writeFileSync(stateFile(middle), base.state)
  assert.equal(found(await verifySnapshot(newest.dir)), [[newest.dir, "parent", "CRYOVM_PARENT_MISSING"]])
  writeFileSync(stateFile(middle), middle.state)
  const header = new DataView(middle.state.buffer, middle.state.byteOffset)
  flipBit(stateFile(middle), header.getUint32(12, true) + 9, 0)
  assert.equal(found(await verifySnapshot(newest.dir)), [
    [newest.dir, "parent", "CRYOVM_PARENT_UNREADABLE"],
    [middle.dir, "manifest", "CRYOVM_STATE_CORRUPT"],
  ])
  rmSync(middle.dir, { recursive: true })
  assert.equal(found(await verifySnapshot(newest.dir)), [[newest.dir, "parent", "CRYOVM_PARENT_MISSING"]])
  assert.equal(found(await verifySnapshot(newest.dir, { chain: false })), [])
})

test("older formats: what cannot be checked is said", async ({ scratch }) => {
  const { manifest, sections } = frozenMachine
  for (const formatVersion of [1, 2]) {
    const dir = join(scratch.path, `format-${formatVersion}`)
    const older = writeFull(dir, regions, new Map([[3, 3]]), { manifest, sections, formatVersion })
    const { ok, links } = await verifySnapshot(dir)
    assert.ok(ok)
    assert.equal(
      links.map(({ hasDigests, checkedBytes }) => [hasDigests, checkedBytes]),
      [[false, older.state.length]],
    )
    truncateSync(memoryFile(older), 5)
    assert.not.ok((await verifySnapshot(dir)).ok)
  }
})

test("a manifest that contradicts the machine, with right digests", async ({ scratch }) => {
  const { manifest, sections } = frozenMachine
  const dir = join(scratch.path, "forged")
  const half = regions.map((region) => ({ ...region, size: region.size / 2 }))
  writeFull(dir, half, new Map(), { manifest, sections })
  assert.equal(found(await verifySnapshot(dir)), [[dir, "manifest", "CRYOVM_SNAPSHOT_INCONSISTENT"]])
})

test("a memory file that is said to be no whole pages is read as it is", async ({ scratch }) => {
  const { manifest, sections } = frozenMachine
  const dir = join(scratch.path, "odd")
  const { manifest: full } = writeFull(dir, regions, new Map([[1, 1]]), { manifest, sections })
  const size = full.memory.size + 7
  const memory = { ...full.memory, size, file: { name: "memory.img", size } }
  const digests = new Uint8Array((MEMORY_BYTES / DIGEST_CHUNK_BYTES + 1) * 16)
  const memoryDigests = { algorithm: "xxh3-128-pages", chunkBytes: DIGEST_CHUNK_BYTES, digests } as const
  writeFileSync(join(dir, STATE_FILE), encodeEnvelope({ manifest: { ...full, memory }, sections, memoryDigests }))
  truncateSync(join(dir, "memory.img"), size)
  const { links } = await verifySnapshot(dir)
  assert.is(links[0]!.problems.at(-1)?.part, "memory")
})

test("what a newer release wrote is not called damaged", async ({ newest }) => {
  writeFileSync(stateFile(newest), forgeState(99, Uint8Array.of(0x80), Uint8Array.of(0x90)))
  const error = await verifySnapshot(newest.dir).catch((failure: { readonly code: string }) => failure)
  assert.is((error as { readonly code: string }).code, "CRYOVM_STATE_FORMAT_TOO_NEW")
})

test("an abort ends it with its reason, and nothing stays open", async ({ newest }) => {
  await verifySnapshot(newest.dir)
  const before = await holdings()
  const controller = new AbortController()
  const reason = new Error("changed my mind")
  const error = await verifySnapshot(newest.dir, {
    signal: controller.signal,
    onProgress: () => controller.abort(reason),
  }).catch((failure: unknown) => failure)
  assert.is(error, reason)
  assert.equal(await holdings(), before)
})

test.run()
