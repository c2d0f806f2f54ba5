// time limit: 300 s
import { fork } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { createReadStream, readdirSync } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { fileURLToPath } from "node:url"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { inspectSnapshot, MicroVm } from "../../src/index.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { warmGuest } from "../support/warm-guest.ts"

const digestOf = async (dir: string): Promise<string> => {
  const hash = createHash("sha256")
  for (const name of readdirSync(dir).sort()) {
    hash.update(name)
    await pipeline(createReadStream(join(dir, name)), hash, { end: false })
  }
  return hash.digest("hex")
}

interface Reading {
  readonly value: bigint
  readonly bootNonce: bigint
  readonly pid: number
}

/** Restores `from` in a process of its own, reads the counter there, and saves to `to`. */
const continueElsewhere = async (from: string, to: string): Promise<Reading> => {
  const child = fork(fileURLToPath(new URL("../support/continue-guest.js", import.meta.url)), [from, to], {
    serialization: "advanced",
  })
  const [reading] = (await once(child, "message")) as [Omit<Reading, "pid">]
  const [exitCode] = (await once(child, "exit")) as [number]
  assert.is(exitCode, 0)
  return { ...reading, pid: child.pid ?? 0 }
}

kvmTest("the guest's counter goes on through three processes, one after another", async () => {
  using scratch = temporaryDirectory()
  const first = await continueElsewhere(await warmGuest(), join(scratch.path, "1"))
  const second = await continueElsewhere(join(scratch.path, "1"), join(scratch.path, "2"))
  const third = await continueElsewhere(join(scratch.path, "2"), join(scratch.path, "3"))
  assert.is(new Set([first.pid, second.pid, third.pid]).size, 3)
  assert.ok(first.value < second.value && second.value < third.value, `${first.value} ${second.value} ${third.value}`)
  assert.ok(third.value < first.value + 1000n, "the counter goes on from where it was")
  assert.equal([second.bootNonce, third.bootNonce], [first.bootNonce, first.bootNonce])
  const info = await inspectSnapshot(join(scratch.path, "3"))
  assert.is(info.machine.vcpuCount, 1)
})

kvmTest("twenty restores of one snapshot are independent, and leave its bytes as they were", async () => {
  const dir = await warmGuest()
  const before = await digestOf(dir)
  const readings = []
  for (let round = 0; round < 20; round++) {
    await using vm = await MicroVm.restore(dir, { resume: true })
    const absent = await vm.guest.exec("cat /tmp/mark 2>/dev/null")
    assert.is(absent.stdout, "", "nothing of an earlier restore is seen")
    await vm.guest.writeFile("/tmp/mark", `round ${round}`)
    await vm.guest.fillMemory(8, { huge: true, pattern: round })
    assert.is((await vm.guest.exec("cat /tmp/mark")).stdout, `round ${round}`)
    readings.push(await vm.guest.counter())
  }
  assert.is(new Set(readings.map((reading) => reading.bootNonce)).size, 1)
  assert.is(await digestOf(dir), before)
})

kvmTest("copies that run side by side do not see each other", async () => {
  const dir = await warmGuest()
  const copies = await Promise.all(Array.from({ length: 4 }, () => MicroVm.restore(dir, { resume: true })))
  try {
    await Promise.all(copies.map((vm, index) => vm.guest.writeFile("/tmp/mark", `copy ${index}`)))
    const marks = await Promise.all(copies.map((vm) => vm.guest.exec("cat /tmp/mark")))
    assert.equal(
      marks.map((mark) => mark.stdout),
      ["copy 0", "copy 1", "copy 2", "copy 3"],
    )
    const random = await Promise.all(copies.map((vm) => vm.guest.exec("head -c 16 /dev/hwrng | md5sum")))
    assert.is(new Set(random.map((sum) => sum.stdout)).size, 4, "each gets entropy of its own")
  } finally {
    await Promise.all(copies.map((vm) => vm.stop()))
  }
})

kvmTest("a paused guest stands still, and goes on", async () => {
  await using vm = await MicroVm.restore(await warmGuest())
  assert.is(vm.state, "paused")
  await vm.resume()
  const before = await vm.guest.counter()
  await vm.pause()
  const answer = vm.guest.counter()
  const early = await Promise.race([
    answer.then(() => "answered"),
    new Promise((resolve) => setTimeout(resolve, 1000, "silent")),
  ])
  assert.is(early, "silent")
  await vm.resume()
  const after = await answer
  assert.ok(after.value > before.value)
  assert.ok(after.value < before.value + 15n, `it did not tick while paused: ${before.value} to ${after.value}`)
})

test.run()
