// time limit: 300 s
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm, type ReseedOptions } from "../../src/index.ts"
import { kvmTest } from "../support/kvm.ts"
import { temporaryDirectory } from "../support/temporary.ts"

/**
 * A snapshot whose clones draw the same random numbers for some seconds.
 *
 * Linux takes a new key by itself when the last is older than half the guest's uptime (a minute at most), and a new
 * key is not the same in two clones: processor and TSC have a part in it. Hence the guest takes one right before it is
 * saved, and tells the time by kvmclock, which goes on from the pause: where KVM does not offset the TSC, the clock
 * of a guest that reads it jumps ahead by the age of the snapshot, and the key would be too old at once.
 */
const saveGuest = async (dir: string): Promise<void> => {
  await using vm = await MicroVm.create({ memoryMib: 128, extraCommandLine: "clocksource=kvm-clock" })
  await vm.start()
  await vm.guest.ready({ timeoutMs: 150_000 })
  await vm.guest.reseed()
  await vm.snapshot({ dir })
}

/** What a fresh clone draws first, after it was given entropy where that is told. */
const firstDraw = async (dir: string, reseed?: ReseedOptions): Promise<string> => {
  await using clone = await MicroVm.restore(dir, { resume: true })
  if (reseed !== undefined) await clone.guest.reseed(reseed)
  const { stdoutBytes } = await clone.guest.exec(["head", "-c", "32", "/dev/urandom"])
  assert.is(stdoutBytes.length, 32)
  return Buffer.from(stdoutBytes).toString("hex")
}

kvmTest("clones of one snapshot draw the same random numbers, until they are reseeded", async () => {
  using scratch = temporaryDirectory()
  const dir = join(scratch.path, "snapshot")
  await saveGuest(dir)

  // Two at least; a clone that was slow, and took its new key before it was asked, is no proof of anything.
  const plain = new Set<string>()
  let drawn = 0
  while (plain.size === drawn && drawn < 10) {
    plain.add(await firstDraw(dir))
    drawn++
  }
  assert.ok(plain.size < drawn, `${drawn} clones drew different numbers without being reseeded`)

  const reseeded = new Set<string>()
  for (const options of [{}, {}, { entropy: randomBytes(16) }, { entropy: randomBytes(512) }]) {
    reseeded.add(await firstDraw(dir, options))
  }
  assert.is(reseeded.size, 4, "each clone draws numbers of its own")
  assert.ok(
    [...reseeded].every((draw) => !plain.has(draw)),
    "and not those of the snapshot",
  )
})

test.run()
