import { closeSync, writeSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative, type NativeMemorySource } from "../../src/native.ts"
import { kvmTest } from "../support/kvm.ts"
import { mebibyte, memoryFiles, page } from "../support/memory-files.ts"
import { bitmapOf, pagesIn } from "../support/page-sets.ts"
import { codeAddress, type TinyGuest, tinyGuest, x86 } from "../support/tiny-guest.ts"
import { enterUserMode, x64 } from "../support/user-mode.ts"

const { newFile } = memoryFiles("dirty-log")

/** Page in which the guest counts its rounds. */
const countPage = 0x40
const countAddress = countPage * page

/** A guest in user mode, whose accesses go through the page tables that KVM keeps for it; nothing is logged yet. */
const userGuest = (ramBytes: number, source?: NativeMemorySource): TinyGuest => {
  const guest = tinyGuest(x86.spin, { ramBytes, ...(source === undefined ? {} : { source }) })
  enterUserMode(guest)
  return guest
}

const setLogging = (guest: TinyGuest, logDirtyPages: boolean) =>
  guest.vm.setMemoryRegion({
    slot: 0,
    guestAddress: 0,
    memory: guest.memory,
    offset: 0,
    size: guest.memory.size,
    logDirtyPages,
  })

/** Has the guest run `code` over and over, at least once, and pauses it. */
const run = async (guest: TinyGuest, code: readonly number[]) => {
  const round = [...code, ...x64.increment(countAddress)]
  guest.ram.set([...round, ...x64.jumpBack(round.length)], codeAddress)
  guest.setRegister("rip", BigInt(codeAddress))
  const count = new BigUint64Array(guest.memory.window(countAddress, 8))
  const before = count[0]!
  guest.vm.resume()
  for (let waited = 0; count[0]! < before + 2n; waited++) {
    if (waited > 5000 || guest.stops.some(({ reason }) => reason !== "paused")) {
      assert.unreachable(`the guest does not run: ${JSON.stringify(guest.stops)}`)
    }
    await sleep(1)
  }
  await guest.pause()
}
const writing = (...pages: readonly number[]) => pages.flatMap((each) => x64.storeRax(each * page + 8))
const reading = (...pages: readonly number[]) => pages.flatMap((each) => x64.loadRax(each * page))

/**
 * The pages told, without the guest's code and page tables: this process wrote them, so KVM maps them writable as soon
 * as the guest reads them, and that counts as a write.
 */
const dirty = (guest: TinyGuest) => pagesIn(guest.vm.getDirtyLog(0)).filter((each) => each >= 0x20)
const clear = (guest: TinyGuest, pages: readonly number[]) =>
  guest.vm.clearDirtyLog(0, bitmapOf(guest.memory.size, pages))

kvmTest("exactly the pages written are told, and told again until they are cleared", async () => {
  const guest = userGuest(4 * mebibyte)
  setLogging(guest, true)
  assert.equal(dirty(guest), [])
  const written = [0x30, 0x3f, countPage, 300, 1023]
  await run(guest, [...writing(0x30, 0x3f, 300, 1023), ...reading(0x31, 400)])
  assert.equal(dirty(guest), written)
  assert.equal(dirty(guest), guest.vm.hasManualDirtyLog ? written : [])
  clear(guest, written)
  assert.equal(dirty(guest), [])
  await guest.close()
})

kvmTest("what is cleared is told again after the next write, and the rest stays", async () => {
  const guest = userGuest(4 * mebibyte)
  // Where reading the log is what clears it, there is nothing to choose.
  const keeps = guest.vm.hasManualDirtyLog
  setLogging(guest, true)
  await run(guest, writing(0x50, 0x51, 0x52, 0x90, 700))
  assert.equal(dirty(guest), [countPage, 0x50, 0x51, 0x52, 0x90, 700])
  clear(guest, [countPage, 0x51, 700])
  assert.equal(dirty(guest), keeps ? [0x50, 0x52, 0x90] : [])
  await run(guest, writing(0x51, 701))
  assert.equal(dirty(guest), keeps ? [countPage, 0x50, 0x51, 0x52, 0x90, 701] : [countPage, 0x51, 701])
  clear(guest, [])
  clear(guest, [0x50, 0x51, 0x52, 0x90, 700, 701])
  assert.equal(dirty(guest), keeps ? [countPage] : [])
  await guest.close()
})

kvmTest("logging is switched on late, off, and on again", async () => {
  const guest = userGuest(4 * mebibyte)
  const fails = (call: () => void) =>
    assert.throws(call, (error: Record<string, unknown>) => error.errnoName === "ENOENT")
  await run(guest, writing(0x50, 600))
  fails(() => dirty(guest))
  if (guest.vm.hasManualDirtyLog) fails(() => clear(guest, [0x50]))
  setLogging(guest, true)
  assert.equal(dirty(guest), [], "what was written before is not told")
  await run(guest, writing(0x51))
  assert.equal(dirty(guest), [countPage, 0x51])
  setLogging(guest, false)
  fails(() => dirty(guest))
  await run(guest, writing(0x52))
  setLogging(guest, true)
  assert.equal(dirty(guest), [])
  await run(guest, writing(0x53))
  assert.equal(dirty(guest), [countPage, 0x53])
  await guest.close()
})

kvmTest("restored memory: what is only read is not dirty", async () => {
  const fd = newFile(8 * mebibyte)
  writeSync(fd, Buffer.alloc(4 * mebibyte, 0x77))
  const guest = userGuest(8 * mebibyte, { kind: "file", fd, offset: 0 })
  closeSync(fd)
  setLogging(guest, true)
  // From the file, from its hole, and both ways round with a write.
  await run(guest, [...reading(0x50, 500, 1500, 0x60), ...writing(0x60, 1600), ...reading(1600)])
  assert.equal(dirty(guest), [countPage, 0x60, 1600])
  clear(guest, [countPage, 0x60, 1600])
  await run(guest, reading(0x50, 0x60, 500, 1500, 1600))
  assert.equal(dirty(guest), [countPage])
  await guest.close()
})

kvmTest("a slot whose pages end within a word, and pages far apart", async () => {
  const guest = userGuest(256 * mebibyte)
  setLogging(guest, true)
  const last = (256 * mebibyte) / page - 1
  // More words of zeros between them than are cleared in one go, and fewer.
  await run(guest, writing(0x50, 30_000, 31_000, last))
  assert.equal(dirty(guest), [countPage, 0x50, 30_000, 31_000, last])
  clear(guest, [countPage, 0x50, 30_000, last])
  if (guest.vm.hasManualDirtyLog) assert.equal(dirty(guest), [31_000])
  await guest.close()

  const odd = userGuest(4 * mebibyte)
  const memory = loadNative().mapMemory(70 * page, { kind: "anonymous" })
  const guestAddress = 4 * mebibyte
  odd.vm.setMemoryRegion({ slot: 1, guestAddress, memory, offset: 0, size: memory.size, logDirtyPages: true })
  // The third large page of the guest's page table: present, writable, for user mode, accessed, dirty.
  new BigUint64Array(odd.memory.window(0x12000, page))[2] = BigInt(guestAddress) | 0xe7n
  await run(odd, writing(1024 + 1, 1024 + 69))
  assert.is(odd.vm.getDirtyLog(1).length, 16)
  assert.equal(pagesIn(odd.vm.getDirtyLog(1)), odd.vm.hasManualDirtyLog ? [1, 69] : [])
  odd.vm.clearDirtyLog(1, bitmapOf(memory.size, [69]))
  assert.equal(pagesIn(odd.vm.getDirtyLog(1)), odd.vm.hasManualDirtyLog ? [1] : [])
  await odd.close()
  memory.close()
})

kvmTest("what is malformed is refused", async () => {
  const guest = userGuest(4 * mebibyte)
  setLogging(guest, true)
  assert.type(guest.vm.hasManualDirtyLog, "boolean")
  assert.throws(() => guest.vm.getDirtyLog(7), /no memory slot 7/)
  assert.throws(() => guest.vm.clearDirtyLog(7, new Uint8Array(128)), /no memory slot 7/)
  assert.throws(() => guest.vm.clearDirtyLog(0, new Uint8Array(120)), /bitmap must have 128 bytes for slot 0, not 120/)
  assert.throws(() => guest.vm.clearDirtyLog(0, new Uint8Array(136)), /bitmap must have 128 bytes/)
  assert.throws(() => guest.vm.clearDirtyLog(0, [] as unknown as Uint8Array), /bitmap must be a Uint8Array/)
  await guest.close()
  assert.throws(() => guest.vm.clearDirtyLog(0, new Uint8Array(128)), /closed/)
})

test.run()
