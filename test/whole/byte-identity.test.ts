// time limit: 300 s
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { inspectSnapshot, MicroVm } from "../../src/index.ts"
import { exchange } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { assertSame } from "../support/same-snapshot.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { counterMachine, highMemoryMachine } from "../support/tiny-kernel.ts"
import { warmGuest } from "../support/warm-guest.ts"

const GIB = 2 ** 30

/** Restores and saves again, without a run in between, and after a while in which clocks go on. */
const saveAgain = async (from: string, to: string): Promise<void> => {
  await using vm = await MicroVm.restore(from)
  await new Promise((resolve) => setTimeout(resolve, 300))
  await vm.snapshot({ dir: to })
}

kvmTest("a Linux guest with two vCPUs, saved, restored and saved again, twice, is the same to the byte", async () => {
  using scratch = temporaryDirectory()
  const dir = await warmGuest({ vcpus: 2 })
  const [first, second] = [join(scratch.path, "1"), join(scratch.path, "2")]
  await saveAgain(dir, first)
  await assertSame(dir, first)
  await saveAgain(first, second)
  await assertSame(dir, second)
})

kvmTest("two snapshots of one pause are the same to the byte", async () => {
  using scratch = temporaryDirectory()
  await using vm = await MicroVm.create(counterMachine)
  await vm.start()
  await vm.console.write("abc")
  await vm.pause()
  await vm.snapshot({ dir: join(scratch.path, "1") })
  await new Promise((resolve) => setTimeout(resolve, 200))
  await vm.snapshot({ dir: join(scratch.path, "2") })
  await assertSame(join(scratch.path, "1"), join(scratch.path, "2"))
})

kvmTest("the comparison sees a machine that ran in between", async () => {
  using scratch = temporaryDirectory()
  await using vm = await MicroVm.create(counterMachine)
  await vm.start()
  await vm.snapshot({ dir: join(scratch.path, "1") })
  await vm.console.write("x")
  await new Promise((resolve) => setTimeout(resolve, 200))
  await vm.snapshot({ dir: join(scratch.path, "2") })
  const verdict = await assertSame(join(scratch.path, "1"), join(scratch.path, "2")).then(
    () => "same",
    () => "different",
  )
  assert.is(verdict, "different")
})

kvmTest("memory on both sides of the gap below 4 GiB is saved and restored", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "1")
  {
    await using vm = await MicroVm.create(highMemoryMachine)
    await vm.start()
    assert.equal(await exchange(vm, "abc"), [1, 2, 3])
    await vm.snapshot({ dir })
  }
  const { memory, diskBytes } = await inspectSnapshot(dir)
  assert.equal(
    memory.regions.map(({ guestAddress, size }) => [guestAddress / GIB, size / GIB]),
    [
      [0, 3],
      [4, 2],
    ],
  )
  assert.ok(diskBytes.memory < 2 ** 20, "memory that was never touched takes no place on disk")
  await using copy = await MicroVm.restore(dir, { resume: true })
  assert.is((await exchange(copy, "d")).at(-1), 4)
})

test.run()
