import { spawnSync } from "node:child_process"
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, readSync, writeSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative, type NativeMemory } from "../../src/native.ts"
import { bytesOf, mebibyte, memoryFiles, page } from "../support/memory-files.ts"

const { folder, newFile } = memoryFiles("dump")

const anonymous = (size: number) => loadNative().mapMemory(size, { kind: "anonymous" })
/** Bytes that the file system keeps for the file. */
const storedBytes = (fd: number) => fstatSync(fd).blocks * 512

const same = (memory: NativeMemory, fd: number, offset = 0) => {
  const read = Buffer.alloc(memory.size)
  assert.is(readSync(fd, read, 0, memory.size, offset), memory.size)
  assert.is(Buffer.compare(read, bytesOf(memory)), 0, "the file holds what the memory holds")
}

test("memory that was never touched is a hole, and stays untouched", async () => {
  const memory = anonymous(256 * mebibyte)
  const fd = newFile(memory.size)
  const dump = memory.dump(fd, 0)
  assert.equal(await dump.done, { writtenBytes: 0, skippedBytes: memory.size, digests: new Uint8Array(0) })
  assert.is(dump.scannedBytes, memory.size)
  assert.is(memory.residentBytes(), 0)
  assert.is(storedBytes(fd), 0)
  closeSync(fd)
  memory.close()
})

test("scattered pages, runs and zero pages: the file is the memory, and only data takes room", async () => {
  const memory = anonymous(64 * mebibyte)
  const bytes = bytesOf(memory)
  let pages = 0
  for (let at = 0; at < 8 * mebibyte; at += 16 * page) {
    bytes[at + 4095] = 1
    pages += 1
  }
  // A run longer than one write, in the middle of which lies a page of zeros that is present.
  bytes.fill(0xaa, 20 * mebibyte, 31 * mebibyte)
  bytes.fill(0, 25 * mebibyte, 25 * mebibyte + page)
  pages += (11 * mebibyte) / page - 1
  // Present, and zero all over.
  for (let at = 40 * mebibyte; at < 50 * mebibyte; at += page) bytes[at] = 0
  bytes[memory.size - 1] = 9
  pages += 1
  const resident = memory.residentBytes()
  const fd = newFile(memory.size + mebibyte)
  assert.equal(await memory.dump(fd, mebibyte).done, {
    writtenBytes: pages * page,
    skippedBytes: memory.size - pages * page,
    digests: new Uint8Array(0),
  })
  assert.is(memory.residentBytes(), resident)
  assert.ok(storedBytes(fd) <= pages * page + mebibyte, `${storedBytes(fd)} bytes for ${pages * page}`)
  same(memory, fd, mebibyte)
  closeSync(fd)
  memory.close()
})

test("memory restored from a file: its data, its holes and what was written since", async () => {
  const source = newFile(32 * mebibyte + page)
  const data = Buffer.alloc(5 * mebibyte, 0x31)
  data.fill(0, mebibyte, 2 * mebibyte)
  // The file behind the memory starts at an offset, and ends in data.
  writeSync(source, data, 0, data.length, page + 3 * mebibyte)
  writeSync(source, data, 0, page, page + 32 * mebibyte - page)
  const memory = loadNative().mapMemory(32 * mebibyte, { kind: "file", fd: source, offset: page })
  const bytes = bytesOf(memory)
  bytes.fill(0x77, 4 * mebibyte, 4 * mebibyte + 2 * page)
  bytes.fill(0, 6 * mebibyte, 6 * mebibyte + 2 * page)
  bytes[20 * mebibyte] = 5
  assert.is(bytes[3 * mebibyte], 0x31)
  const resident = memory.residentBytes()
  const fd = newFile(memory.size)
  const { writtenBytes, skippedBytes } = await memory.dump(fd, 0).done
  assert.is(writtenBytes, 4 * mebibyte + 2 * page - 2 * page + page + page)
  assert.is(writtenBytes + skippedBytes, memory.size)
  assert.is(memory.residentBytes(), resident, "what only the file has is not brought in")
  assert.is(storedBytes(fd), writtenBytes)
  same(memory, fd)

  // And once more, from the dump of the restored memory.
  const second = loadNative().mapMemory(32 * mebibyte, { kind: "file", fd, offset: 0 })
  const again = newFile(memory.size)
  assert.is((await second.dump(again, 0).done).writtenBytes, writtenBytes)
  same(memory, again)
  for (const each of [source, fd, again]) closeSync(each)
  memory.close()
  second.close()
})

test("the memory may be closed while its dump runs; the dump is whole", async () => {
  const memory = anonymous(64 * mebibyte)
  bytesOf(memory).fill(3)
  const fd = newFile(memory.size)
  const dump = memory.dump(fd, 0)
  memory.close()
  assert.is((await dump.done).writtenBytes, 64 * mebibyte)
  const read = Buffer.alloc(page)
  readSync(fd, read, 0, page, 63 * mebibyte)
  assert.ok(read.every((byte) => byte === 3))
  closeSync(fd)
})

test("an aborted dump ends with ECANCELED, soon", async () => {
  const memory = anonymous(512 * mebibyte)
  bytesOf(memory).fill(1)
  const fd = newFile(memory.size)
  const dump = memory.dump(fd, 0)
  dump.abort()
  const error = await dump.done.then(
    () => assert.unreachable("it was aborted"),
    (cause: Record<string, unknown>) => cause,
  )
  assert.is(error?.errnoName, "ECANCELED")
  assert.ok(storedBytes(fd) <= 16 * mebibyte)
  closeSync(fd)
  memory.close()
})

test("a file that cannot be written to is told with operation and errno", async () => {
  const memory = anonymous(4 * mebibyte)
  bytesOf(memory).fill(1)
  const path = join(folder, "read-only")
  closeSync(openSync(path, "w"))
  const fd = openSync(path, "r")
  const error = await memory.dump(fd, 0).done.catch((cause: Record<string, unknown>) => cause)
  assert.match(String((error as Record<string, unknown>).message), /pwritev/)
  assert.is((error as Record<string, unknown>).operation, "pwritev")
  assert.is((error as Record<string, unknown>).errnoName, "EBADF")
  closeSync(fd)
  assert.throws(() => memory.dump(fd, 0), /EBADF/)
  assert.throws(() => memory.dump(-1, 0), /fd must be/)
  memory.close()
})

test("a full file system is told as ENOSPC", async () => {
  const mountPoint = mkdtempSync(join(folder, "small-"))
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", mountPoint])
  const memory = anonymous(32 * mebibyte)
  bytesOf(memory).fill(1)
  let path = join(mountPoint, "memory.img")
  if (mounted.status !== 0) {
    // Without the right to mount, the device that is always full says the same.
    assert.ok(existsSync("/dev/full"))
    path = "/dev/full"
  }
  const fd = openSync(path, mounted.status === 0 ? "w+" : "r+")
  const error = await memory.dump(fd, 0).done.catch((cause: Record<string, unknown>) => cause)
  assert.is((error as Record<string, unknown>).operation, "pwritev")
  assert.is((error as Record<string, unknown>).errnoName, "ENOSPC")
  closeSync(fd)
  memory.close()
  if (mounted.status === 0) spawnSync("umount", [mountPoint])
})

test("several dumps at once do not disturb each other", async () => {
  const memory = anonymous(32 * mebibyte)
  const bytes = bytesOf(memory)
  for (let at = 0; at < memory.size; at += 3 * page) bytes.fill(at / page, at, at + page)
  const files = [newFile(memory.size), newFile(memory.size), newFile(memory.size)]
  await Promise.all(files.map((fd) => memory.dump(fd, 0).done))
  for (const fd of files) {
    same(memory, fd)
    closeSync(fd)
  }
  memory.close()
})

test("a page with a single bit set is data, wherever the bit is", async () => {
  // One bit a page, each at another place.
  const memory = anonymous(512 * page)
  const bytes = bytesOf(memory)
  for (let i = 0; i < 512; i++) bytes[i * page + i * 8 + (i % 8)] = 1 << (i % 8)
  const fd = newFile(memory.size)
  assert.is((await memory.dump(fd, 0).done).skippedBytes, 0)
  same(memory, fd)
  closeSync(fd)
  memory.close()
})

test.run()
