import { test } from "uvu"
import * as assert from "uvu/assert"
import { kvmTest } from "../support/kvm.ts"
import { type Access, codeAddress, deviceAddress, Exit, tinyGuest, x86 } from "../support/tiny-guest.ts"

/** An access whose bytes are copied: the run page changes with the next one. */
const keep = (access: Access) => ({ ...access, data: [...access.data] })

kvmTest("a port write and a port read go to onAccess, and the answer reaches the guest", async () => {
  const seen: Array<ReturnType<typeof keep>> = []
  const code = [...x86.setAl(0x41), ...x86.outAl(0x10), ...x86.inAl(0x11), ...x86.outAl(0x12), ...x86.ud2]
  const guest = tinyGuest(code, {
    protectedMode: true,
    onAccess: (self) => {
      const access = self.access()
      if (!access.write) access.data[0] = 0x77
      seen.push(keep(access))
    },
  })
  guest.vm.resume()
  const stop = await guest.nextStop()
  assert.is(stop.exitReason, Exit.SHUTDOWN)
  assert.equal(seen, [
    { kind: "io", write: true, address: 0x10, size: 1, count: 1, data: [0x41] },
    { kind: "io", write: false, address: 0x11, size: 1, count: 1, data: [0x77] },
    { kind: "io", write: true, address: 0x12, size: 1, count: 1, data: [0x77] },
  ])
  await guest.close()
})

kvmTest("MMIO reads and writes go to onAccess with address, size and data", async () => {
  const seen: Array<ReturnType<typeof keep>> = []
  const code = [...x86.setEax(0x11223344), ...x86.writeEax(8), ...x86.readAl(0x20), ...x86.writeAl(0x21), ...x86.spin]
  const guest = tinyGuest(code, {
    onAccess: (self) => {
      const access = self.access()
      if (!access.write) access.data[0] = 0x99
      seen.push(keep(access))
      if (seen.length === 3) self.vm.pause()
    },
  })
  guest.vm.resume()
  assert.is((await guest.nextStop()).reason, "paused")
  assert.equal(seen, [
    { kind: "mmio", write: true, address: deviceAddress + 8, size: 4, count: 1, data: [0x44, 0x33, 0x22, 0x11] },
    { kind: "mmio", write: false, address: deviceAddress + 0x20, size: 1, count: 1, data: [0x99] },
    { kind: "mmio", write: true, address: deviceAddress + 0x21, size: 1, count: 1, data: [0x99] },
  ])
  assert.is(guest.register("rip"), BigInt(codeAddress + code.length - 2))
  await guest.close()
})

kvmTest("a string port write arrives whole, in order", async () => {
  const text = Array.from({ length: 3000 }, (_, index) => index % 251)
  const got: number[] = []
  const code = [...x86.setSi(0x4000), ...x86.setCx(text.length), ...x86.setDx(0x80), ...x86.repOutsb, ...x86.inAl(1)]
  const guest = tinyGuest([...code, ...x86.spin], {
    onAccess: (self) => {
      const access = self.access()
      if (access.write) got.push(...access.data)
      else self.vm.pause()
    },
  })
  guest.ram.set(text, 0x4000)
  guest.vm.resume()
  await guest.nextStop()
  assert.equal(got, text)
  assert.is(guest.register("rcx"), 0n)
  await guest.close()
})

kvmTest("what onAccess throws is told through onStop, and stops that vCPU only", async () => {
  let served = 0
  const code = [...x86.inAl(1), ...x86.jumpBack(2)]
  const guest = tinyGuest(code, {
    vcpuCount: 2,
    onAccess: (_, vcpu) => {
      if (vcpu === 0) throw new Error("the device broke")
      served += 1
    },
  })
  guest.vm.resume()
  const stop = await guest.nextStop()
  assert.is(stop.vcpu, 0)
  assert.is(stop.reason, "handler")
  assert.is(stop.exitReason, Exit.IO)
  assert.ok(stop.cause instanceof Error && stop.cause.message === "the device broke")
  const before = served
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.ok(served > before, "the other vCPU goes on")
  await guest.pause()
  assert.equal(guest.stops.map((each) => [each.vcpu, each.reason]).sort(), [
    [0, "handler"],
    [0, "paused"],
    [1, "paused"],
  ])
  await guest.close()
})

kvmTest("a thrown value that is no object is told too", async () => {
  const guest = tinyGuest([...x86.inAl(1), ...x86.spin], {
    onAccess: () => {
      throw "text"
    },
  })
  guest.vm.resume()
  const stop = await guest.nextStop()
  assert.is(stop.reason, "handler")
  assert.ok(stop.cause instanceof Error && stop.cause.message === "text")
  await guest.close()
})

kvmTest("promises settled in onAccess go on before the next access", async () => {
  const order: string[] = []
  const guest = tinyGuest([...x86.inAl(1), ...x86.inAl(2), ...x86.spin], {
    onAccess: (self) => {
      const port = self.access().address
      order.push(`access ${port}`)
      void Promise.resolve().then(() => order.push(`after ${port}`))
      if (port === 2) self.vm.pause()
    },
  })
  guest.vm.resume()
  await guest.nextStop()
  assert.equal(order, ["access 1", "after 1", "access 2", "after 2"])
  await guest.close()
})

kvmTest("a triple fault parks the vCPU with KVM_EXIT_SHUTDOWN", async () => {
  const guest = tinyGuest([...x86.ud2], { protectedMode: true })
  guest.vm.resume()
  assert.equal(await guest.nextStop(), { vcpu: 0, reason: "exit", exitReason: Exit.SHUTDOWN, errno: 0 })
  await guest.close()
})

kvmTest("an instruction that KVM cannot emulate parks the vCPU, its bytes are in the run page", async () => {
  const instruction = x86.popcntDevice(4)
  const guest = tinyGuest([...instruction, ...x86.spin])
  guest.vm.resume()
  const stop = await guest.nextStop()
  assert.is(stop.reason, "exit")
  assert.is(stop.exitReason, Exit.INTERNAL_ERROR)
  // struct kvm_run.emulation_failure: suberror, ndata, flags (1: bytes are there), their number, the bytes.
  const run = guest.run()
  assert.is(run.getUint32(32, true), 1)
  assert.ok(run.getUint32(36, true) >= 3)
  assert.is(Number(run.getBigUint64(40, true)) & 1, 1)
  const bytes = [...new Uint8Array(run.buffer, 49, instruction.length)]
  assert.equal(bytes, instruction)
  await guest.close()
})

test.run()
