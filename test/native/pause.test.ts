import { test } from "uvu"
import * as assert from "uvu/assert"
import { kvmTest } from "../support/kvm.ts"
import { codeAddress, deviceAddress, type TinyGuest, tinyGuest, x86 } from "../support/tiny-guest.ts"

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Counts for ever in BX without leaving the guest. */
const counting = [...x86.incBx, ...x86.jumpBack(1)]

kvmTest("pause stops every vCPU, resume lets them go on", async () => {
  const guest = tinyGuest(counting, { vcpuCount: 2 })
  guest.vm.resume()
  await sleep(20)
  await guest.pause()
  assert.equal(guest.stops.map((stop) => [stop.vcpu, stop.reason]).sort(), [
    [0, "paused"],
    [1, "paused"],
  ])
  const first = [guest.register("rbx", 0), guest.register("rbx", 1)]
  await sleep(20)
  assert.equal([guest.register("rbx", 0), guest.register("rbx", 1)], first, "nothing runs while paused")
  guest.vm.resume()
  await sleep(20)
  await guest.pause()
  assert.is.not(guest.register("rbx", 0), first[0])
  assert.is.not(guest.register("rbx", 1), first[1])
  await guest.close()
})

kvmTest("every pause is answered, also of what is parked already", async () => {
  const guest = tinyGuest(counting, { vcpuCount: 2 })
  await guest.pause()
  guest.vm.pause()
  assert.is(guest.stops.length, 2, "never from within pause")
  await sleep(10)
  assert.is(guest.stops.length, 4)
  guest.vm.resume()
  guest.vm.pause()
  guest.vm.pause()
  await sleep(50)
  assert.is(guest.stops.length, 8)
  assert.ok(guest.stops.every((stop) => stop.reason === "paused"))
  await guest.close()
})

kvmTest("resume right after pause: the pause is still told, and the guest runs on", async () => {
  const guest = tinyGuest(counting)
  guest.vm.resume()
  await sleep(5)
  guest.vm.pause()
  guest.vm.resume()
  await sleep(30)
  assert.equal(
    guest.stops.map((stop) => stop.reason),
    ["paused"],
  )
  assert.throws(() => guest.vm.getVcpu(0, "regs"), /EBUSY/)
  await guest.pause()
  await guest.close()
})

kvmTest("structures are refused while a vCPU runs", async () => {
  const guest = tinyGuest(counting, { vcpuCount: 2 })
  guest.vm.resume()
  const calls: ReadonlyArray<readonly [string, () => unknown]> = [
    ["KVM_GET_REGS", () => guest.vm.getVcpu(0, "regs")],
    ["KVM_SET_SREGS", () => guest.vm.setVcpu(0, "sregs", new Uint8Array(312))],
    ["KVM_GET_MSRS", () => guest.vm.getMsrs(0, [0x10])],
    ["KVM_SET_MSRS", () => guest.vm.setMsrs(0, new Uint8Array(16))],
    ["KVM_GET_IRQCHIP", () => guest.vm.getVm("ioapic")],
    ["KVM_SET_PIT2", () => guest.vm.setVm("pit2", new Uint8Array(112))],
    ["KVM_GET_TSC_KHZ", () => guest.vm.getTscKhz(0)],
    ["KVM_NMI", () => guest.vm.nmi(0)],
  ]
  for (const [operation, call] of calls) {
    assert.throws(call, (error: Record<string, unknown>) => {
      assert.is(error.operation, operation)
      assert.is(error.errnoName, "EBUSY")
      return true
    })
  }
  await guest.pause()
  for (const [, call] of calls.slice(0, 1)) call()
  await guest.close()
})

/** The register that takes the answer shows whether the access was finished before the state is read. */
const pausesWithin = async (code: readonly number[], answer: (guest: TinyGuest) => void) => {
  let accesses = 0
  const guest = tinyGuest([...code, ...x86.spin], {
    onAccess: (self) => {
      if (accesses++ === 0) self.vm.pause()
      answer(self)
    },
  })
  guest.vm.resume()
  assert.is((await guest.nextStop()).reason, "paused")
  assert.is(guest.register("rip"), BigInt(codeAddress + code.length), "the instruction is done")
  return { guest, accesses }
}

kvmTest("a pause within an MMIO read lets it finish first", async () => {
  const { guest, accesses } = await pausesWithin(x86.readEax(0x10), (self) => self.access().data.fill(0x5a))
  assert.is(accesses, 1)
  assert.is(guest.register("rax"), 0x5a5a5a5an)
  await guest.close()
})

kvmTest("a pause within the first half of an MMIO read lets both halves finish", async () => {
  const addresses: number[] = []
  const { guest, accesses } = await pausesWithin(x86.readEax(0xffe), (self) => {
    const access = self.access()
    addresses.push(access.address)
    access.data.fill(access.address === deviceAddress + 0xffe ? 0x11 : 0x22)
  })
  assert.is(accesses, 2)
  assert.equal(addresses, [deviceAddress + 0xffe, deviceAddress + 0x1000])
  assert.is(guest.register("rax"), 0x22221111n)
  await guest.close()
})

kvmTest("a pause within a port read lets it finish first", async () => {
  const { guest } = await pausesWithin(x86.inAl(0x33), (self) => self.access().data.fill(0x7e))
  assert.is(guest.register("rax") & 0xffn, 0x7en)
  await guest.close()
})

kvmTest("a pause within a string port write loses and repeats nothing", async () => {
  const text = Array.from({ length: 5000 }, (_, index) => index % 253)
  const got: number[] = []
  const guest = tinyGuest(
    [...x86.setSi(0x4000), ...x86.setCx(text.length), ...x86.setDx(0x80), ...x86.repOutsb, ...x86.inAl(1), ...x86.spin],
    {
      onAccess: (self) => {
        const access = self.access()
        if (access.write) got.push(...access.data)
        self.vm.pause()
      },
    },
  )
  guest.ram.set(text, 0x4000)
  for (let pauses = 0; guest.register("rip") !== BigInt(codeAddress + 14); pauses++) {
    assert.ok(pauses < 6000)
    guest.vm.resume()
    assert.is((await guest.nextStop()).reason, "paused")
    // What KVM has handed out and what the registers say agree at every stop.
    while (guest.stops.length > 0 && got.length + Number(guest.register("rcx")) !== text.length) {
      assert.unreachable(`${got.length} bytes came, ${guest.register("rcx")} are left`)
    }
  }
  assert.equal(got, text)
  await guest.close()
})

kvmTest("a hundred pauses of a guest that keeps accessing devices", async () => {
  let reads = 0
  const guest = tinyGuest([...x86.readAl(4), ...x86.incBx, ...x86.jumpBack(4)], {
    vcpuCount: 2,
    onAccess: (self, vcpu) => {
      if (vcpu === 0) reads += 1
      self.access(vcpu).data[0] = 1
    },
  })
  for (let i = 0; i < 100; i++) {
    guest.vm.resume()
    await sleep(i % 3)
    await guest.pause()
    // Each read is counted in BX, but for the one whose count has not been reached yet.
    const counted = Number(guest.register("rbx"))
    assert.ok(reads - counted === 0 || reads - counted === 1, `${reads} reads, ${counted} counted`)
  }
  assert.ok(reads > 0)
  await guest.close()
})

kvmTest("a vCPU that waits for its start-up interrupt pauses too", async () => {
  const guest = tinyGuest(counting, { vcpuCount: 2 })
  guest.vm.setVcpu(1, "mp_state", new Uint8Array([1, 0, 0, 0]))
  guest.vm.resume()
  await sleep(10)
  await guest.pause()
  assert.equal([...guest.vm.getVcpu(1, "mp_state")], [1, 0, 0, 0])
  await guest.close()
})

kvmTest("a halted vCPU pauses, and its state says that it is halted", async () => {
  const guest = tinyGuest([...x86.cli, ...x86.hlt, ...x86.spin])
  guest.vm.resume()
  await sleep(10)
  await guest.pause()
  assert.equal([...guest.vm.getVcpu(0, "mp_state")], [3, 0, 0, 0])
  await guest.close()
})

test.run()
