import { test } from "uvu"
import * as assert from "uvu/assert"
import { loadNative, type VcpuStructure, type VmStructure } from "../../src/native.ts"
import { kvmPath, kvmTest } from "../support/kvm.ts"
import { tinyGuest, x86 } from "../support/tiny-guest.ts"

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

const vcpuSizes: ReadonlyArray<readonly [VcpuStructure, number]> = [
  ["regs", 144],
  ["sregs", 312],
  ["sregs2", 320],
  ["fpu", 416],
  ["xcrs", 392],
  ["debugregs", 128],
  ["lapic", 1024],
  ["mp_state", 4],
  ["vcpu_events", 64],
]
const vmSizes: ReadonlyArray<readonly [VmStructure, number]> = [
  ["pic_master", 520],
  ["pic_slave", 520],
  ["ioapic", 520],
  ["pit2", 112],
  ["clock", 48],
]

/** The PIT's three channels (24 bytes each) end in the time at which they were loaded, which writing sets. */
const withoutTime = (name: VmStructure, bytes: Uint8Array) =>
  name === "pit2" ? bytes.filter((_, index) => index >= 72 || index % 24 < 16) : bytes

/** A guest that has run for a while, so that its state is not all zero. */
const usedGuest = async () => {
  const guest = tinyGuest([...x86.setEax(0x12345678), ...x86.setCx(77), ...x86.incBx, ...x86.jumpBack(1)])
  guest.vm.setVcpu(0, "cpuid2", loadNative().probeHost(kvmPath).supportedCpuid)
  guest.vm.resume()
  await sleep(5)
  await guest.pause()
  return guest
}

kvmTest("the host tells its capabilities, MSRs and CPUID", () => {
  const probe = loadNative().probeHost(kvmPath)
  assert.is(probe.apiVersion, 12)
  assert.is(probe.capabilities.IMMEDIATE_EXIT, 1)
  assert.is(probe.capabilities.USER_MEMORY, 1)
  assert.type(probe.capabilities.XSAVE2, "number")
  assert.ok(probe.msrIndices.includes(0x10), "IA32_TSC")
  assert.is(probe.supportedCpuid.length % 40, 0)
  assert.ok(probe.supportedCpuid.length > 0)
  assert.ok(probe.kernelRelease.length > 0)
})

test("a device that is not there is told with the path and errno", () => {
  assert.throws(
    () => loadNative().probeHost("/dev/no-such-kvm"),
    (error: Record<string, unknown>) =>
      error.operation === "open" &&
      error.errno === 2 &&
      error.errnoName === "ENOENT" &&
      String(error.message).includes("/dev/no-such-kvm"),
  )
  assert.throws(
    () => loadNative().createVm("/dev/null", { vcpuCount: 1, onAccess: () => {}, onStop: () => {} }),
    (error: Record<string, unknown>) => error.operation === "KVM_GET_API_VERSION" && error.errnoName === "ENOTTY",
  )
})

kvmTest("every structure has its size, and is the same after it was written back", async () => {
  const guest = await usedGuest()
  for (const [name, size] of vcpuSizes) {
    const bytes = guest.vm.getVcpu(0, name)
    assert.is(bytes.length, size, name)
    guest.vm.setVcpu(0, name, bytes)
    assert.equal(guest.vm.getVcpu(0, name), bytes, name)
  }
  for (const [name, size] of vmSizes) {
    const bytes = guest.vm.getVm(name)
    assert.is(bytes.length, size, name)
    guest.vm.setVm(name, bytes)
    if (name !== "clock") assert.equal(withoutTime(name, guest.vm.getVm(name)), withoutTime(name, bytes), name)
  }
  const cpuid = guest.vm.getVcpu(0, "cpuid2")
  assert.ok(cpuid.length > 0 && cpuid.length % 40 === 0)
  guest.vm.setVcpu(0, "cpuid2", cpuid)
  assert.equal(guest.vm.getVcpu(0, "cpuid2"), cpuid)
  await guest.close()
})

kvmTest("the state of one guest, written into another, is that of the first", async () => {
  const from = await usedGuest()
  const to = tinyGuest(x86.spin)
  to.vm.setVcpu(0, "cpuid2", from.vm.getVcpu(0, "cpuid2"))
  for (const name of ["mp_state", "regs", "sregs", "xsave", "xcrs", "debugregs", "lapic", "vcpu_events"] as const) {
    const bytes = from.vm.getVcpu(0, name)
    to.vm.setVcpu(0, name, bytes)
    assert.equal(to.vm.getVcpu(0, name), bytes, name)
  }
  assert.is(to.register("rax"), 0x12345678n)
  assert.is(to.register("rcx"), 77n)
  for (const name of ["pic_master", "pic_slave", "ioapic"] as const) {
    to.vm.setVm(name, from.vm.getVm(name))
    assert.equal(to.vm.getVm(name), from.vm.getVm(name), name)
  }
  await from.close()
  await to.close()
})

kvmTest("a wrong number of bytes is refused, with both numbers", async () => {
  const guest = tinyGuest(x86.spin)
  for (const [name, size] of vcpuSizes) {
    for (const wrong of [0, size - 1, size + 1]) {
      assert.throws(() => guest.vm.setVcpu(0, name, new Uint8Array(wrong)), new RegExp(`${size} bytes, not ${wrong}`))
    }
  }
  for (const [name, size] of vmSizes) {
    assert.throws(() => guest.vm.setVm(name, new Uint8Array(size - 1)), new RegExp(`${size} bytes, not ${size - 1}`))
  }
  assert.throws(() => guest.vm.setVcpu(0, "cpuid2", new Uint8Array(41)), /40-byte entries/)
  assert.throws(() => guest.vm.setMsrs(0, new Uint8Array(15)), /16 bytes each/)
  assert.throws(() => guest.vm.setVm("pic_slave", guest.vm.getVm("pic_master")), /another chip/)
  assert.throws(() => guest.vm.getVcpu(1, "regs"), /vcpu must be a whole number from 0 to 0/)
  assert.throws(() => guest.vm.getVcpu(0, "nonsense" as VcpuStructure), /no structure "nonsense"/)
  await guest.close()
})

kvmTest("xsave: shorter is filled up with zeros, longer is taken only when the rest is zero", async () => {
  const guest = await usedGuest()
  const xsave = guest.vm.getVcpu(0, "xsave")
  assert.ok(xsave.length >= 4096)
  guest.vm.setVcpu(0, "xsave", xsave)
  assert.equal(guest.vm.getVcpu(0, "xsave"), xsave)
  guest.vm.setVcpu(0, "xsave", xsave.subarray(0, 576))
  const longer = new Uint8Array(xsave.length + 64)
  longer.set(xsave)
  guest.vm.setVcpu(0, "xsave", longer)
  assert.equal(guest.vm.getVcpu(0, "xsave"), xsave)
  longer[xsave.length + 3] = 1
  assert.throws(() => guest.vm.setVcpu(0, "xsave", longer), /beyond the/)
  assert.throws(() => guest.vm.setVcpu(0, "xsave", xsave.subarray(0, 575)), /at least 576/)
  await guest.close()
})

kvmTest("nested state is refused by name where the host has none", async () => {
  const guest = tinyGuest(x86.spin)
  if (loadNative().probeHost(kvmPath).capabilities.NESTED_STATE === 0) {
    assert.throws(
      () => guest.vm.getVcpu(0, "nested_state"),
      (error: Record<string, unknown>) => error.operation === "KVM_GET_NESTED_STATE",
    )
  } else {
    const bytes = guest.vm.getVcpu(0, "nested_state")
    guest.vm.setVcpu(0, "nested_state", bytes)
    assert.equal(guest.vm.getVcpu(0, "nested_state"), bytes)
  }
  await guest.close()
})

kvmTest("MSRs: all of the list go out and in; one that does not exist is skipped and told", async () => {
  const guest = await usedGuest()
  const { msrIndices } = loadNative().probeHost(kvmPath)
  const wanted = [0xdead0001, ...msrIndices.slice(0, 5), 0xdead0002, ...msrIndices.slice(5), 0xdead0003]
  const { entries, refused } = guest.vm.getMsrs(0, wanted)
  for (const index of [0xdead0001, 0xdead0002, 0xdead0003]) assert.ok(refused.includes(index))
  assert.is(entries.length / 16 + refused.length, wanted.length)
  const view = new DataView(entries.buffer)
  const got = Array.from({ length: entries.length / 16 }, (_, i) => view.getUint32(i * 16, true))
  assert.equal(
    got,
    wanted.filter((index) => !refused.includes(index)),
  )
  guest.vm.setMsrs(0, entries)

  // IA32_SYSENTER_CS, _ESP, _EIP around one that is refused.
  const some = new Uint8Array(64)
  const values: ReadonlyArray<readonly [number, bigint]> = [
    [0x174, 0x10n],
    [0xdead0001, 1n],
    [0x175, 0x1234n],
    [0x176, 0x5678n],
  ]
  values.forEach(([index, value], i) => {
    new DataView(some.buffer).setUint32(i * 16, index, true)
    new DataView(some.buffer).setBigUint64(i * 16 + 8, value, true)
  })
  assert.equal(guest.vm.setMsrs(0, some), [0xdead0001])
  const back = guest.vm.getMsrs(0, [0x174, 0x175, 0x176]).entries
  const backView = new DataView(back.buffer)
  assert.equal(
    [0, 1, 2].map((i) => backView.getBigUint64(i * 16 + 8, true)),
    [0x10n, 0x1234n, 0x5678n],
  )
  // More than one batch.
  const many = Array.from({ length: 700 }, () => 0x174)
  assert.is(guest.vm.getMsrs(0, many).entries.length, 700 * 16)
  await guest.close()
})

kvmTest("TSC frequency, kvmclock control and NMI answer", async () => {
  const guest = await usedGuest()
  const khz = guest.vm.getTscKhz(0)
  assert.ok(khz >= 0)
  if (khz > 0) guest.vm.setTscKhz(0, khz)
  assert.is(guest.vm.kvmclockCtrl(0), false, "this guest knows no kvmclock")
  guest.vm.nmi(0)
  await guest.close()
})

test.run()
