import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, rmSync, writeSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative, type NativeMemory, type NativeMemorySource, toKvmError } from "../../src/native.ts"
import { kvmTest } from "../support/kvm.ts"
import { laidRuns } from "../support/laid-files.ts"
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
import { codeAddress, tinyGuest } from "../support/tiny-guest.ts"
import { enterUserMode, x64 } from "../support/user-mode.ts"

const { folder, newFile, dumped } = memoryFiles("discard")

const residentKibOfProcess = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "latin1"))?.[1])

/** A file that holds `value` everywhere, and memory from it. */
const withRestored = async (
  size: number,
  value: number,
  use: (memory: NativeMemory) => void | Promise<void>,
  maximumOverlays?: number,
) => {
  const fd = newFile(size)
  writeSync(fd, Buffer.alloc(size, value))
  const memory = loadNative().mapMemory(size, {
    kind: "file",
    fd,
    offset: 0,
    ...(maximumOverlays === undefined ? {} : { maximumOverlays }),
  })
  closeSync(fd)
  try {
    await use(memory)
  } finally {
    memory.close()
  }
}

for (const kind of ["anonymous", "memfd"] as const) {
  test(`${kind}: what is discarded is zero and takes no memory, the rest stays`, async () => {
    const memory = loadNative().mapMemory(16 * mebibyte, { kind })
    const bytes = bytesOf(memory)
    bytes.fill(7)
    assert.is(memory.residentBytes(), memory.size)
    assert.equal(
      memory.discard(ranges([0, page], [2 * page, page], [3 * page, mebibyte], [8 * mebibyte, 8 * mebibyte])),
      {
        discardedBytes: 9 * mebibyte + 2 * page,
        zeroedBytes: 0,
      },
    )
    assert.is(memory.residentBytes(), 7 * mebibyte - 2 * page)
    assert.is(memory.residentBytes(8 * mebibyte, 8 * mebibyte), 0)
    assert.is(memory.residentBytes(page, 2 * page), page)
    const { writtenBytes, content } = await dumped(memory)
    assert.is(writtenBytes, 7 * mebibyte - 2 * page)
    assert.is(Buffer.compare(content, bytes), 0)
    assert.ok(isFilledWith(bytes.subarray(0, page), 0))
    assert.ok(isFilledWith(bytes.subarray(page, 2 * page), 7))
    assert.ok(isFilledWith(bytes.subarray(2 * page, 3 * page + mebibyte), 0))
    bytes.fill(9, 8 * mebibyte, 8 * mebibyte + page)
    assert.is((await dumped(memory)).writtenBytes, 7 * mebibyte - page)
    memory.close()
  })
}

test("the host has the memory back", () => {
  const memory = loadNative().mapMemory(256 * mebibyte, { kind: "anonymous" })
  bytesOf(memory).fill(1)
  const before = residentKibOfProcess()
  memory.discard(ranges([0, memory.size]))
  assert.ok(before - residentKibOfProcess() > 240 * 1024)
  memory.close()
})

test("restored memory: the file's old bytes come back neither here nor in a dump", () =>
  withRestored(4 * mebibyte, 0x31, async (memory) => {
    const bytes = bytesOf(memory)
    bytes.fill(5, 0, 8 * page) // written here since
    assert.equal(memory.discard(ranges([page, 2 * page], [mebibyte, mebibyte])), {
      discardedBytes: mebibyte + 2 * page,
      zeroedBytes: 0,
    })
    // Before anything reads it: a page that was never touched must not be taken for the file's.
    const { writtenBytes, content } = await dumped(memory)
    assert.is(writtenBytes, 3 * mebibyte - 2 * page)
    assert.ok(isFilledWith(content.subarray(0, page), 5))
    assert.ok(isFilledWith(content.subarray(page, 3 * page), 0))
    assert.ok(isFilledWith(content.subarray(3 * page, 8 * page), 5))
    assert.ok(isFilledWith(content.subarray(8 * page, mebibyte), 0x31))
    assert.ok(isFilledWith(content.subarray(mebibyte, 2 * mebibyte), 0))
    assert.ok(isFilledWith(content.subarray(2 * mebibyte), 0x31))
    assert.is(memory.residentBytes(0, 8 * page), 6 * page)
    assert.is(Buffer.compare(content, bytes), 0)
    bytes[mebibyte] = 1
    const again = await dumped(memory)
    assert.is(again.writtenBytes, writtenBytes + page)
    assert.is(Buffer.compare(again.content, bytes), 0)
  }))

test("restored memory: where the file has a hole, nothing is laid over it", async () => {
  const fd = newFile(64 * mebibyte)
  writeSync(fd, Buffer.alloc(page, 1), 0, page, 32 * mebibyte)
  const memory = loadNative().mapMemory(64 * mebibyte, { kind: "file", fd, offset: 0 })
  closeSync(fd)
  const bytes = bytesOf(memory)
  bytes.fill(3, 0, mebibyte)
  const before = mappingsOfProcess()
  for (let at = 0; at < 60; at += 2) memory.discard(ranges([at * page, page]))
  assert.is(mappingsOfProcess(), before)
  assert.is(memory.residentBytes(0, 60 * page), 30 * page)
  assert.ok(isFilledWith(bytes.subarray(0, page), 0))
  assert.ok(isFilledWith(bytes.subarray(page, 2 * page), 3))
  memory.discard(ranges([0, memory.size]))
  assert.ok(isFilledWith(bytes, 0))
  assert.is((await dumped(memory)).writtenBytes, 0)
  memory.close()
})

test("restored memory: 20,000 single pages leave a bounded number of mappings, and all read as zero", () =>
  withRestored(160 * mebibyte, 0x55, async (memory) => {
    const bytes = bytesOf(memory)
    const before = mappingsOfProcess()
    const order = Array.from({ length: 20_000 }, (_, index) => (index * 7919) % 20_000)
    let discarded = 0
    let zeroed = 0
    for (const index of order) {
      const result = memory.discard(ranges([2 * index * page, page]))
      discarded += result.discardedBytes
      zeroed += result.zeroedBytes
      bytes[2 * index * page + 8] = 0 // touched, so that the kernel cannot simply merge what is joined later
    }
    assert.is(discarded + zeroed, 20_000 * page)
    const limit = before + 2 * 2048 + 32 // and some that are not of the memory
    assert.ok(mappingsOfProcess() <= limit, `${mappingsOfProcess()} mappings, ${before} before`)
    for (let index = 0; index < 20_000; index++) {
      if (!isFilledWith(bytes.subarray(2 * index * page, 2 * index * page + page), 0))
        assert.unreachable(`page ${index}`)
    }
    assert.ok(isFilledWith(bytes.subarray(page, 2 * page), 0x55))

    // A large range still finds room, and the pages between are joined: what is touched stays a mapping of its own.
    assert.equal(memory.discard(ranges([158 * mebibyte, 2 * mebibyte])).zeroedBytes, 0)
    for (const index of order) memory.discard(ranges([(2 * index + 1) * page, page]))
    assert.ok(mappingsOfProcess() <= limit, `${mappingsOfProcess()} mappings, ${before} before`)
    // All at once: one overlay.
    assert.equal(memory.discard(ranges([0, memory.size])), { discardedBytes: memory.size, zeroedBytes: 0 })
    assert.ok(mappingsOfProcess() <= before + 32, `${mappingsOfProcess()} mappings, ${before} before`)
    assert.is(memory.residentBytes(), 0)
    assert.is((await dumped(memory)).writtenBytes, 0)
  }))

test("restored memory: room that joined overlays have given up is found again", () =>
  withRestored(
    32 * mebibyte,
    1,
    (memory) => {
      const bytes = bytesOf(memory)
      const take = (from: number, touch: boolean) => {
        let zeroed = 0
        for (let at = from; at < from + 40; at += 2) {
          zeroed += memory.discard(ranges([at * page, page])).zeroedBytes
          if (touch) bytes[at * page] = 1
        }
        for (let at = from + 1; at < from + 40; at += 2) zeroed += memory.discard(ranges([at * page, page])).zeroedBytes
        return zeroed
      }
      // 32 overlays of single pages are all there may be, and 20 at a time are joined to one.
      for (let round = 0; round < 10; round++) assert.is(take(round * 100, false), 0, `round ${round}`)
      // Touched before they were joined, they stay apart.
      take(1000, true)
      assert.ok(take(1100, false) > 0)
    },
    64,
  ))

test("restored memory: the largest ranges get what room there is", () =>
  withRestored(
    16 * mebibyte,
    1,
    async (memory) => {
      const wanted = ranges(
        [0, page],
        [2 * page, 4 * page],
        [10 * page, 2 * mebibyte],
        [4 * mebibyte, page],
        [8 * mebibyte, 4 * mebibyte],
      )
      assert.equal(memory.discard(wanted), { discardedBytes: 6 * mebibyte, zeroedBytes: 6 * page })
      assert.is(memory.residentBytes(0, 10 * page), memory.residentBytes(0, page) + 9 * page)
      for (let at = 0; at < wanted.length; at += 2) {
        assert.ok(isFilledWith(bytesOf(memory).subarray(wanted[at]!, wanted[at]! + wanted[at + 1]!), 0))
      }
      // What adjoins an overlay needs no room of its own, also where it has been written over before.
      assert.equal(memory.discard(ranges([2 * page, 8 * page])), { discardedBytes: 8 * page, zeroedBytes: 0 })
      assert.is(memory.residentBytes(2 * page, 8 * page), 0)
      assert.is(Buffer.compare((await dumped(memory)).content, bytesOf(memory)), 0)
    },
    2,
  ))

test("malformed ranges are refused before anything is done", () => {
  const memory = loadNative().mapMemory(16 * page, { kind: "anonymous" })
  bytesOf(memory).fill(1)
  const first = [0, page] as const
  const refused: ReadonlyArray<readonly [unknown, RegExp]> = [
    [[0, page], /Float64Array/],
    [new Float32Array([0, page]), /Float64Array/],
    [undefined, /Float64Array/],
    [new Float64Array([...first, 4 * page]), /pairs/],
    [ranges(first, [4 * page + 1, page]), /offset of range 1 must be a multiple of 4096 from 0 to 65536/],
    [ranges(first, [4 * page, page - 1]), /length of range 1 must be a multiple of 4096 from 0 to 49152/],
    [ranges(first, [4 * page, 0]), /range 1 is empty/],
    [ranges(first, [15 * page, 2 * page]), /length of range 1/],
    [ranges(first, [17 * page, page]), /offset of range 1/],
    [ranges(first, [-page, page]), /offset of range 1/],
    [ranges(first, [4 * page, Number.NaN]), /length of range 1/],
    [ranges(first, [Number.POSITIVE_INFINITY, page]), /offset of range 1/],
    [ranges(first, [4 * page + 0.5, page]), /offset of range 1/],
    [ranges(first, [4 * page, 2 ** 63]), /length of range 1/],
    [ranges(first, [4 * page, 2 * page], [5 * page, page]), /range 2 begins before the end/],
    [ranges(first, [0, page]), /range 1 begins before the end/],
    [ranges([page, page], first), /range 1 begins before the end/],
  ]
  for (const [given, message] of refused) {
    assert.throws(
      () => memory.discard(given as Float64Array),
      (cause: unknown) => {
        const error = toKvmError(cause)
        assert.match(error.message, message)
        assert.is(error.operation, "discard")
        assert.is(error.errno, 0)
        return true
      },
    )
  }
  assert.ok(isFilledWith(bytesOf(memory), 1))
  assert.equal(memory.discard(new Float64Array(0)), { discardedBytes: 0, zeroedBytes: 0 })
  assert.throws(() => memory.residentBytes(1), /multiples of 4096/)
  assert.throws(() => memory.residentBytes(0, 17 * page), /length must be/)
  memory.close()
  assert.throws(() => memory.discard(ranges(first)), /closed/)
})

test("a failure names the call, the errno and how much was done; the memory stays usable", () => {
  const memory = loadNative().mapMemory(16 * page, { kind: "memfd" })
  const bytes = bytesOf(memory)
  bytes.fill(6)
  const own = readdirSync("/proc/self/fd").find((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("/memfd:cryovm")
    } catch {
      return false
    }
  })
  closeSync(Number(own))
  // Takes the number, so that the memory closes this instead of a stranger's.
  assert.is(openSync("/dev/null", "r"), Number(own))
  assert.throws(
    () => memory.discard(ranges([0, page], [4 * page, page])),
    (cause: unknown) => {
      const error = toKvmError(cause)
      assert.is(error.operation, "fallocate(FALLOC_FL_PUNCH_HOLE)")
      assert.is(error.errnoName, "EBADF")
      assert.match(error.message, /with 0 of 2 ranges done/)
      return true
    },
  )
  assert.ok(isFilledWith(bytes, 6))
  memory.close()
})

test("windows stay what they were, and views of closed memory are empty", () =>
  withRestored(mebibyte, 2, (memory) => {
    const window = new Uint8Array(memory.window(page, 2 * page))
    memory.discard(ranges([0, 2 * page]))
    assert.is(window[0], 0)
    assert.is(window[page], 2)
    window[0] = 8
    assert.is(bytesOf(memory)[page], 8)
    memory.close()
    assert.is(window.length, 0)
  }))

test("discarding while a dump runs: every page of the file is as it was, or zero", () =>
  withRestored(64 * mebibyte, 0x44, async (memory) => {
    const bytes = bytesOf(memory)
    for (let at = 0; at < memory.size; at += 3 * page) bytes.fill(0x44, at, at + page)
    for (let round = 0; round < 4; round++) {
      const fd = newFile(memory.size)
      const dump = memory.dump(fd, 0)
      let ended = false
      const done = dump.done.finally(() => {
        ended = true
      })
      for (let at = round; at < memory.size / page && !ended; at += 5) {
        memory.discard(ranges([at * page, page]))
        if (at % 100 === 0) await sleep(0)
      }
      await done
      const content = Buffer.alloc(memory.size)
      readSync(fd, content, 0, content.length, 0)
      closeSync(fd)
      for (let at = 0; at < content.length; at += 512) {
        if (content[at] !== 0x44 && content[at] !== 0) assert.unreachable(`byte ${at} is ${content[at]}`)
      }
    }
  }))

test("memory closed while its dump runs, and discarded before: the dump is whole", () =>
  withRestored(64 * mebibyte, 0x44, async (memory) => {
    memory.discard(ranges([mebibyte, mebibyte]))
    const fd = newFile(memory.size)
    const { done } = memory.dump(fd, 0)
    memory.close()
    assert.is((await done).writtenBytes, 63 * mebibyte)
    closeSync(fd)
  }))

/** Of the files and memories for random sequences. */
const pages = 48

const fileWithHoles = () => {
  const fd = newFile((pages + 1) * page)
  for (let index = 0; index < pages; index++) {
    if (index % 5 < 2 || index > 40) writeSync(fd, Buffer.alloc(page, 0x60 + index), 0, page, (index + 1) * page)
  }
  return fd
}
const fileOfZeros = () => {
  const fd = newFile((pages + 1) * page)
  writeSync(fd, Buffer.alloc((pages + 1) * page))
  return fd
}
const fileOfData = () => {
  const fd = newFile((pages + 1) * page)
  for (let index = 0; index < pages; index++)
    writeSync(fd, Buffer.alloc(page, 0x80 + index), 0, page, (index + 1) * page)
  return fd
}
const fromFile = (make: () => number, maximumOverlays?: number) => (): [NativeMemorySource, number] => {
  const fd = make()
  return [{ kind: "file", fd, offset: page, ...(maximumOverlays === undefined ? {} : { maximumOverlays }) }, fd]
}
const sources: Readonly<Record<string, () => [NativeMemorySource, number | undefined]>> = {
  anonymous: () => [{ kind: "anonymous" }, undefined],
  memfd: () => [{ kind: "memfd" }, undefined],
  "a file of data": fromFile(fileOfData),
  "a file of data, no overlays": fromFile(fileOfData, 0),
  "a file of data, one overlay": fromFile(fileOfData, 1),
  "a file of data, four overlays": fromFile(fileOfData, 4),
  "a file with holes": fromFile(fileWithHoles),
  "a file with holes, three overlays": fromFile(fileWithHoles, 3),
  "a file of zeros, two overlays": fromFile(fileOfZeros, 2),
}

for (const [name, make] of Object.entries(sources)) {
  test(`whatever is written, discarded and dumped: ${name}`, async () => {
    const before = mappingsOfProcess()
    await fc.assert(
      fc.asyncProperty(memorySteps(pages), async (sequence) => {
        const [source, fd] = make()
        const memory = loadNative().mapMemory(pages * page, source)
        const expected = Buffer.alloc(memory.size)
        if (fd !== undefined) readSync(fd, expected, 0, expected.length, page)
        try {
          await follow(memory, expected, sequence, async () => checkDump(memory, expected, await dumped(memory)))
        } finally {
          memory.close()
          if (fd !== undefined) closeSync(fd)
          for (const file of readdirSync(folder)) rmSync(join(folder, file))
        }
      }),
      { numRuns: 60 },
    )
    assert.ok(mappingsOfProcess() <= before + 200)
  })
}

/** Where the running guest reads, and where it tells what it read and how often. */
const watched = 2 * mebibyte + 0x3000
const resultAddress = 0x20000
const countAddress = 0x20008
const watching = [
  ...x64.loadRax(watched),
  ...x64.storeRax(resultAddress),
  ...x64.increment(countAddress),
  ...x64.jumpBack(24),
]

const restoredFile = (value: number | undefined) => {
  const fd = newFile(4 * mebibyte)
  if (value !== undefined) writeSync(fd, Buffer.alloc(2 * mebibyte, value), 0, 2 * mebibyte, 2 * mebibyte)
  return fd
}
const laidOver = (offset: number, length: number, maximumLaidRuns: number): NativeMemorySource => {
  const layer = newFile(length)
  writeSync(layer, Buffer.alloc(length, 0x6b))
  const laid = { fds: [layer], runs: laidRuns([offset, length, 0, 0]) }
  return { kind: "file", fd: restoredFile(0x15), offset: 0, laid, maximumLaidRuns }
}
const guests: Readonly<Record<string, () => NativeMemorySource>> = {
  anonymous: () => ({ kind: "anonymous" }),
  memfd: () => ({ kind: "memfd" }),
  "restored memory": () => ({ kind: "file", fd: restoredFile(0x6b), offset: 0 }),
  "restored memory, no overlays left": () => ({ kind: "file", fd: restoredFile(0x6b), offset: 0, maximumOverlays: 0 }),
  "restored memory, a hole in the file": () => ({ kind: "file", fd: restoredFile(undefined), offset: 0 }),
  "restored memory, a file laid over it": () => laidOver(2 * mebibyte, mebibyte, 1),
  "restored memory, a copied page of a file": () => laidOver(watched, page, 0),
}
for (const [name, source] of Object.entries(guests)) {
  kvmTest(
    `a running guest sees zero where memory was discarded, and what is written there later: ${name}`,
    async () => {
      const from = source()
      const guest = tinyGuest(watching, { ramBytes: 4 * mebibyte, source: from })
      if (from.kind === "file") for (const fd of [from.fd, ...(from.laid?.fds ?? [])]) closeSync(fd)
      assert.is(guest.ram[codeAddress], watching[0])
      enterUserMode(guest)
      const told = new BigUint64Array(guest.memory.window(resultAddress, 16))
      const seen = async () => {
        const since = told[1]!
        for (let waited = 0; told[1]! < since + 2n; waited++) {
          if (waited > 2000 || guest.stops.length > 0)
            assert.unreachable(`the guest does not run: ${JSON.stringify(guest.stops)}`)
          await sleep(1)
        }
        return told[0]
      }
      // As it was restored, without a write on this side, where there is something to restore.
      const wasRestored = guest.ram[watched] !== 0
      if (!wasRestored) guest.ram.fill(0x6b, watched, watched + page)
      guest.vm.resume()
      assert.is(await seen(), 0x6b6b6b6b6b6b6b6bn)
      guest.memory.discard(ranges([2 * mebibyte, mebibyte]))
      assert.is(await seen(), 0n)
      guest.ram.fill(0x11, watched, watched + 8)
      assert.is(await seen(), 0x1111111111111111n)
      // Page after page beside it, with the vCPU running: none of it disturbs.
      for (let at = 0; at < 200; at++) guest.memory.discard(ranges([3 * mebibyte + (at % 100) * page, page]))
      assert.is(await seen(), 0x1111111111111111n)
      guest.memory.discard(ranges([watched, page]))
      assert.is(await seen(), 0n)
      await guest.pause()
      await guest.close()
    },
  )
}

test.run()
