import { test } from "uvu"
import * as assert from "uvu/assert"
import { kvmTest } from "../support/kvm.ts"
import { deviceAddress, tinyGuest, x86 } from "../support/tiny-guest.ts"

const until = async (what: string, condition: () => boolean) => {
  const deadline = Date.now() + 5000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited 5 s for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

kvmTest("notifiers: MMIO, with and without a value, and ports; nothing of it is an access", async () => {
  const seen: string[] = []
  const code = [
    ...[...x86.setEax(7), ...x86.writeEax(0x50)],
    ...[...x86.setEax(8), ...x86.writeEax(0x50)],
    ...[...x86.setAl(1), ...x86.outAl(0x60)],
    ...[...x86.writeAl(0x70), ...x86.writeEax(0x70)],
  ]
  const guest = tinyGuest([...code, ...x86.inAl(1), ...x86.spin], {
    onAccess: (self) => seen.push(`access ${self.access().address.toString(16)}`),
  })
  const at = (offset: number) => ({ space: "mmio", address: deviceAddress + offset }) as const
  guest.vm.addNotifier({ ...at(0x50), length: 4, datamatch: 7 }, () => seen.push("seven"))
  guest.vm.addNotifier({ ...at(0x50), length: 4, datamatch: 9 }, () => seen.push("nine"))
  guest.vm.addNotifier({ space: "pio", address: 0x60, length: 1 }, () => seen.push("port"))
  guest.vm.addNotifier({ ...at(0x70), length: 0 }, () => seen.push("any"))
  guest.vm.resume()
  await until("four events", () => seen.includes("seven") && seen.includes("port") && seen.includes("any"))
  await until("the accesses", () => seen.includes("access 1"))
  assert.equal([...new Set(seen)].sort(), ["access 1", "access d0050", "any", "port", "seven"])
  await guest.close()
})

kvmTest("a removed notifier is silent, and the write is an access again", async () => {
  let notified = 0
  let accesses = 0
  const guest = tinyGuest([...x86.writeAl(0x50), ...x86.jumpBack(3)], { onAccess: () => accesses++ })
  const id = guest.vm.addNotifier({ space: "mmio", address: deviceAddress + 0x50, length: 0 }, () => notified++)
  guest.vm.resume()
  await until("a notification", () => notified > 0)
  assert.is(accesses, 0)
  guest.vm.removeNotifier(id)
  const before = notified
  await until("an access", () => accesses > 0)
  assert.is(notified, before)
  assert.throws(() => guest.vm.removeNotifier(id), /no notifier/)
  // The address is free again.
  guest.vm.addNotifier({ space: "mmio", address: deviceAddress + 0x50, length: 0 }, () => {})
  await guest.close()
})

kvmTest("a notifier may be removed and the machine closed from its own callback", async () => {
  const guest = tinyGuest([...x86.writeAl(0x50), ...x86.jumpBack(3)])
  await new Promise<void>((resolve) => {
    const id = guest.vm.addNotifier({ space: "mmio", address: deviceAddress + 0x50, length: 0 }, () => {
      guest.vm.removeNotifier(id)
      resolve(guest.close())
    })
    guest.vm.resume()
  })
})

kvmTest("two notifiers of one address are refused by the kernel, and the machine goes on", async () => {
  const guest = tinyGuest(x86.spin)
  const options = { space: "mmio", address: deviceAddress, length: 4 } as const
  guest.vm.addNotifier(options, () => {})
  assert.throws(
    () => guest.vm.addNotifier(options, () => {}),
    (error: Record<string, unknown>) => error.operation === "KVM_IOEVENTFD" && error.errnoName === "EEXIST",
  )
  await guest.close()
})

/**
 * Puts the master PIC at vectors 0x20-0x27, lets only line 5 through, and waits; the handler writes to port 0x99.
 * Real mode: vector 0x25 is the far pointer at 0x94.
 */
const interruptible = () => {
  const out = (port: number, value: number) => [...x86.setAl(value), ...x86.outAl(port)]
  const wait = [...x86.sti, ...x86.hlt, ...x86.jumpBack(2)]
  const initialise = [...out(0x20, 0x11), ...out(0x21, 0x20), ...out(0x21, 0x04), ...out(0x21, 0x01)]
  const code = [...initialise, ...out(0x21, 0xdf), ...out(0x80, 1), ...wait]
  const handler = [...out(0x99, 5), ...out(0x20, 0x20), ...x86.iret]
  return { code, handler }
}

kvmTest("an interrupt wakes a halted guest, each pulse once", async () => {
  const { code, handler } = interruptible()
  let ready = false
  let handled = 0
  const guest = tinyGuest(code, {
    onAccess: (self) => {
      if (self.access().address === 0x80) ready = true
      if (self.access().address === 0x99) handled += 1
    },
  })
  guest.ram.set(handler, 0x3000)
  guest.ram.set([0x00, 0x30, 0x00, 0x00], 0x25 * 4)
  const id = guest.vm.addInterrupt(5)
  guest.vm.resume()
  await until("the guest to be ready", () => ready)
  for (let pulse = 1; pulse <= 5; pulse++) {
    guest.vm.raiseInterrupt(id)
    await until(`pulse ${pulse}`, () => handled === pulse)
  }
  guest.vm.removeInterrupt(id)
  assert.throws(() => guest.vm.raiseInterrupt(id), /no interrupt/)
  await guest.close()
})

kvmTest("status cells are read and acknowledged without an access", async () => {
  const accesses: number[] = []
  // EAX = status; acknowledge bit 0 and 3; EAX = status again; stored in RAM by way of an access.
  const code = [
    ...[...x86.readEax(0x60), ...x86.writeEax(0x100)],
    ...[...x86.setEax(9), ...x86.writeEax(0x64)],
    ...[...x86.readEax(0x60), ...x86.writeEax(0x104)],
    ...[...x86.readAl(0x60), ...x86.spin],
  ]
  const written = new Map<number, number>()
  const guest = tinyGuest(code, {
    onAccess: (self) => {
      const access = self.access()
      accesses.push(access.address - deviceAddress)
      if (access.write) written.set(access.address - deviceAddress, access.data[0]!)
    },
  })
  const cells = new Uint32Array(guest.vm.statusCells)
  assert.is(cells.length, 64)
  Atomics.store(cells, 63, 0b1011)
  guest.vm.addStatusCell(63, deviceAddress + 0x60, deviceAddress + 0x64)
  guest.vm.addStatusCell(0, deviceAddress + 0x260, deviceAddress + 0x264)
  assert.throws(() => guest.vm.addStatusCell(63, 0, 4), /in use/)
  assert.throws(() => guest.vm.addStatusCell(64, 0, 4), /0 to 63/)
  guest.vm.resume()
  await until("the last access", () => accesses.length === 3)
  assert.equal(accesses, [0x100, 0x104, 0x60], "only a read of another size is an access")
  assert.is(written.get(0x100), 0b1011)
  assert.is(written.get(0x104), 0b0010)
  assert.is(Atomics.load(cells, 63), 0b0010)
  guest.vm.removeStatusCell(63)
  await guest.close()
})

test.run()
