/** Files and bytes of guest memory, for tests of the native layer. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import type { NativeMemory } from "../../src/native.ts"
import { liveObjects } from "./tiny-guest.ts"

export const mebibyte = 1024 * 1024
export const page = 4096

/** All of a mapping. */
export const bytesOf = (memory: NativeMemory) => new Uint8Array(memory.window(0, memory.size))

/** Pairs of offset and length, as `discard` takes them. */
export const ranges = (...pairs: ReadonlyArray<readonly [offset: number, length: number]>) =>
  new Float64Array(pairs.flat())

export const isFilledWith = (bytes: Uint8Array, value: number) =>
  Buffer.compare(bytes, new Uint8Array(bytes.length).fill(value)) === 0

export const mappingsOfProcess = () => readFileSync("/proc/self/maps", "latin1").split("\n").length

/**
 * A folder for the files of one test file, gone at its end. Each of its tests has to leave nothing alive in the addon.
 */
export const memoryFiles = (name: string) => {
  const folder = mkdtempSync(join(tmpdir(), `cryovm-${name}-`))
  test.after(() => rmSync(folder, { recursive: true }))
  test.after.each(() => assert.equal(liveObjects(), { vms: 0, memories: 0, threads: 0 }))
  let files = 0
  /** A fresh file of `size` bytes, a hole; its descriptor is the caller's. */
  const newFile = (size: number) => {
    const fd = openSync(join(folder, `file-${files++}`), "w+")
    ftruncateSync(fd, size)
    return fd
  }
  /** What a dump of the memory writes. */
  const dumped = async (memory: NativeMemory) => {
    const fd = newFile(memory.size)
    try {
      const { writtenBytes } = await memory.dump(fd, 0).done
      const content = Buffer.alloc(memory.size)
      readSync(fd, content, 0, content.length, 0)
      return { writtenBytes, content }
    } finally {
      closeSync(fd)
    }
  }
  return { folder, newFile, dumped }
}
