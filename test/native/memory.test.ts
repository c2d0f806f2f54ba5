import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative } from "../../src/native.ts"
import { kvmTest } from "../support/kvm.ts"
import { liveObjects, tinyGuest, x86 } from "../support/tiny-guest.ts"

const mebibyte = 1024 * 1024
const page = 4096
const folder = mkdtempSync(join(tmpdir(), "cryovm-memory-"))
test.after(() => rmSync(folder, { recursive: true }))

const withFile = <A>(name: string, use: (fd: number) => A): A => {
  const fd = openSync(join(folder, name), "w+")
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

test("anonymous memory is zero, and takes no pages until touched", () => {
  const memory = loadNative().mapMemory(1024 * mebibyte + 2 * mebibyte, { kind: "anonymous" })
  assert.is(memory.size, 1026 * mebibyte)
  assert.is(memory.residentBytes(), 0)
  const bytes = new Uint8Array(memory.window(1024 * mebibyte, 2 * mebibyte))
  bytes[0] = 1
  bytes[mebibyte] = 2
  assert.is(memory.residentBytes(), 2 * page)
  memory.close()
})

test("windows over the same memory show the same bytes", () => {
  const memory = loadNative().mapMemory(1024 * mebibyte + page, { kind: "anonymous" })
  const window = new Uint8Array(memory.window(1024 * mebibyte - 4, 8))
  const behind = new Uint8Array(memory.window(1024 * mebibyte, page))
  window.set([1, 2, 3, 4, 5, 6, 7, 8])
  assert.equal([...behind.subarray(0, 5)], [5, 6, 7, 8, 0])
  behind[3] = 9
  assert.is(window[7], 9)
  assert.throws(() => memory.window(memory.size - 4, 8), /length must be/)
  assert.throws(() => memory.window(memory.size + 1, 0), /offset must be/)
  assert.throws(() => memory.window(-1, 1), /offset must be/)
  assert.throws(() => memory.window(0.5, 1), /offset must be/)
  memory.close()
})

test("close detaches every buffer; a view that is still held is empty, and everything else refuses", () => {
  const before = liveObjects()
  const memory = loadNative().mapMemory(16 * mebibyte, { kind: "anonymous" })
  const bytes = new Uint8Array(memory.window(0, memory.size))
  const view = new DataView(memory.window(page, 16))
  const words = new Int32Array(memory.window(0, page))
  bytes[5] = 7
  memory.close()
  assert.is(bytes.length, 0)
  assert.is(bytes[5], undefined)
  assert.is(words.length, 0)
  assert.throws(() => view.getUint8(0), TypeError)
  assert.throws(() => Atomics.load(words, 0))
  assert.throws(() => memory.window(0, 1), /closed/)
  assert.throws(() => memory.residentBytes(), /closed/)
  assert.throws(() => memory.dump(1, 0), /closed/)
  memory.close()
  assert.equal(liveObjects(), before)
})

test("memory from a file is read from there, and what is written stays here", () => {
  withFile("source", (fd) => {
    ftruncateSync(fd, 4 * page)
    writeSync(fd, Buffer.from("from the file"), 0, 13, page)
    const memory = loadNative().mapMemory(2 * page, { kind: "file", fd, offset: page })
    const bytes = new Uint8Array(memory.window(0, memory.size))
    assert.is(Buffer.from(bytes.subarray(0, 13)).toString(), "from the file")
    bytes.set(Buffer.from("FROM"))
    const again = loadNative().mapMemory(page, { kind: "file", fd, offset: page })
    assert.is(Buffer.from(new Uint8Array(again.window(0, again.size), 0, 13)).toString(), "from the file")
    memory.close()
    again.close()
  })
})

test("a file that does not cover the memory is refused, saying how much is missing", () => {
  withFile("short", (fd) => {
    ftruncateSync(fd, 3 * page)
    const map = (size: number, offset: number) => () => loadNative().mapMemory(size, { kind: "file", fd, offset })
    assert.throws(map(2 * page, 2 * page), /holds 12288 bytes, but 8192 bytes from offset 8192/)
    assert.throws(map(page, 4 * page), /holds 12288 bytes/)
    assert.throws(map(page, 5), /multiple of 4096/)
    assert.throws(map(5, 0), /multiple of 4096/)
    assert.throws(map(0, 0), /multiple of 4096/)
    map(page, 2 * page)().close()
  })
  const notAFile = openSync("/dev/zero", "r")
  assert.throws(() => loadNative().mapMemory(page, { kind: "file", fd: notAFile, offset: 0 }), /regular file/)
  closeSync(notAFile)
  assert.throws(
    () => loadNative().mapMemory(page, { kind: "file", fd: notAFile, offset: 0 }),
    (error: Record<string, unknown>) => error.operation === "fstat" && error.errnoName === "EBADF",
  )
})

kvmTest("memory that a guest uses stays until the machine is closed, its buffers go at once", async () => {
  const guest = tinyGuest([...x86.setAl(0x42), ...x86.writeRamAl(0x5000), ...x86.inAl(1), ...x86.spin], {
    onAccess: (self) => self.vm.pause(),
  })
  guest.memory.close()
  assert.is(guest.ram.length, 0)
  assert.is(liveObjects().memories, 1)
  guest.vm.resume()
  assert.is((await guest.nextStop()).reason, "paused")
  await guest.vm.close()
  assert.equal(liveObjects(), { vms: 0, memories: 0, threads: 0 })
})

kvmTest("a slot cannot reach beyond its memory, and only NativeMemory is taken", async () => {
  const guest = tinyGuest(x86.spin)
  const memory = loadNative().mapMemory(4 * page, { kind: "anonymous" })
  const region = { slot: 1, guestAddress: 0x100000, memory, offset: 0, size: 4 * page }
  assert.throws(() => guest.vm.setMemoryRegion({ ...region, size: 5 * page }), /more than the memory/)
  assert.throws(() => guest.vm.setMemoryRegion({ ...region, offset: page }), /more than the memory/)
  assert.throws(() => guest.vm.setMemoryRegion({ ...region, offset: 8 * page, size: 0 }), /offset must be/)
  assert.throws(() => guest.vm.setMemoryRegion({ ...region, memory: {} as typeof memory }), /mapMemory/)
  assert.throws(
    () => guest.vm.setMemoryRegion({ ...region, guestAddress: 5 }),
    (error: Record<string, unknown>) =>
      error.operation === "KVM_SET_USER_MEMORY_REGION" && error.errnoName === "EINVAL",
  )
  guest.vm.setMemoryRegion(region)
  guest.vm.setMemoryRegion({ ...region, size: 0 })
  memory.close()
  assert.is(liveObjects().memories, 1, "a removed slot holds nothing")
  await guest.close()
})

test.run()
