// time limit: 600 s
/**
 * What the balloon gave to the host is zero when the guest has it back: after deflating, after hinting, after
 * reporting; in a booted guest's memory, and where the snapshot's file holds other bytes. Looked at in the guest's
 * physical memory, which no page fault clears on the way.
 */
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { loadNative } from "../../src/native.ts"
import { balloonGuest, balloonMachine, balloonOf, fill, inflateTo } from "../support/balloon-guest.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { warmGuest } from "../support/warm-guest.ts"

/** 4,096 page frames from the middle of what the guest's allocator has. */
const FIRST_FRAME = 32768n
const FRAMES = 4096
/** The guest itself uses a page here and there. */
const A_FEW = 64

const dirtyPages = async (vm: MicroVm): Promise<number> => Number(await vm.guest.readPhysical(FIRST_FRAME, FRAMES))

/** Fills nearly all of the guest's memory with a pattern and frees it: the pages keep it. */
const leaveTraces = async (vm: MicroVm): Promise<void> => {
  await fill(vm, 200)
  await vm.guest.sleep(500)
}

const untilClean = async (vm: MicroVm): Promise<number> => {
  let dirty = await dirtyPages(vm)
  for (let waited = 0; dirty > A_FEW && waited < 40; waited++) {
    await vm.guest.sleep(500)
    dirty = await dirtyPages(vm)
  }
  return dirty
}

kvmTest("memory is zero after deflating, also over a snapshot's file with other bytes", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "dirty")
  {
    await using vm = await balloonGuest()
    await leaveTraces(vm)
    assert.is(await dirtyPages(vm), FRAMES)
    await vm.snapshot({ dir })
  }
  await using copy = await MicroVm.restore(dir, { resume: true })
  assert.is(await dirtyPages(copy), FRAMES, "the file brings the traces back")
  await inflateTo(copy, 220)
  await inflateTo(copy, 0)
  assert.ok((await dirtyPages(copy)) <= A_FEW)
})

/** A discard that does nothing and says that it did. */
const pretend = (ranges: Float64Array) => ({
  discardedBytes: ranges.reduce((total, value, index) => total + (index % 2 === 1 ? value : 0), 0),
  zeroedBytes: 0,
})

kvmTest("the check finds a balloon that keeps what it was given", async () => {
  const dir = await warmGuest(balloonMachine())
  const native = loadNative()
  const real = native.mapMemory
  native.mapMemory = (size, source) => Object.defineProperty(real(size, source), "discard", { value: pretend })
  try {
    await using vm = await MicroVm.restore(dir, { resume: true })
    await leaveTraces(vm)
    await inflateTo(vm, 220)
    await inflateTo(vm, 0)
    const dirty = await dirtyPages(vm)
    assert.ok(dirty > FRAMES / 2, `only ${dirty} pages kept their traces`)
  } finally {
    native.mapMemory = real
  }
})

kvmTest("memory is zero after free page reporting, before and after a restore", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "reported")
  await using vm = await balloonGuest({ freePageReporting: true })
  await leaveTraces(vm)
  assert.ok((await untilClean(vm)) <= A_FEW)
  assert.ok(balloonOf(vm).metrics.reportedRanges > 0)
  await vm.snapshot({ dir })
  await using copy = await MicroVm.restore(dir, { resume: true })
  await leaveTraces(copy)
  assert.ok((await untilClean(copy)) <= A_FEW)
  assert.ok(balloonOf(copy).metrics.reportedRanges > 0)
})

kvmTest("memory is zero after free page hinting, before and after a restore", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "traces")
  await using vm = await balloonGuest({ freePageHinting: true })
  await leaveTraces(vm)
  assert.is(await dirtyPages(vm), FRAMES)
  await vm.snapshot({ dir })
  await balloonOf(vm).startHinting()
  assert.ok((await untilClean(vm)) <= A_FEW)
  await using copy = await MicroVm.restore(dir, { resume: true })
  assert.is(await dirtyPages(copy), FRAMES)
  await balloonOf(copy).startHinting()
  assert.ok((await untilClean(copy)) <= A_FEW)
  await balloonOf(copy).stopHinting()
})

test.run()
