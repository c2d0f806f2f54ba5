import { closeSync, openSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative } from "../../src/native.ts"
import { bytesOf, page } from "../support/memory-files.ts"
import { ownNumbers } from "../support/own-pages.ts"
import { addressesOf, canSwap, swappedBytes, swapSpace } from "../support/swap.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const PAGES = 2048
const swapTest = canSwap() ? test : test.skip

swapTest("pages that were written are found wherever the kernel keeps them, and no others", async () => {
  using scratch = temporaryDirectory()
  using swap = swapSpace(16 * 2 ** 20)
  const path = join(scratch.path, "memory.img")
  writeFileSync(path, Buffer.alloc((PAGES / 2) * page, 1))
  truncateSync(path, PAGES * page)
  const fd = openSync(path, "r")
  const memory = loadNative().mapMemory(PAGES * page, { kind: "file", fd, offset: 0 })
  closeSync(fd)
  try {
    const bytes = bytesOf(memory)
    let read = 0
    for (let at = 0; at < bytes.length; at += page) read += bytes[at]!
    assert.is(read, PAGES / 2)
    const written: number[] = []
    for (let each = 1; each < PAGES; each += 3) {
      bytes[each * page + 7] = 9
      written.push(each)
    }
    assert.equal(await ownNumbers(memory), written)

    const { start, end } = addressesOf(path)
    const before = swappedBytes()
    swap.pageOut(start, Number(end - start))
    assert.ok(swappedBytes() - before > (written.length * page) / 2, "too little went into swap to tell anything")
    assert.equal(await ownNumbers(memory), written, "in swap")

    for (const each of written.slice(0, 200)) assert.is(bytes[each * page + 7], 9)
    assert.equal(await ownNumbers(memory), written, "in swap, and some of it read again")

    bytes[4 * page] = 5
    const all = [...written, ...(written.includes(4) ? [] : [4])].sort((a, b) => a - b)
    assert.equal(await ownNumbers(memory), all, "and written on")
  } finally {
    memory.close()
  }
})

test.run()
