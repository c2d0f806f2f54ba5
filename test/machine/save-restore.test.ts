import { test } from "uvu"
import * as assert from "uvu/assert"
import {
  applyPausedTime,
  ClockRealtimeMissing,
  capturePausedTime,
  type PausedTime,
  pausedTimeOf,
} from "../../src/machine/kvm/paused-time.ts"
import {
  MsrRefused,
  NestedStateUnsupported,
  restoreVcpu,
  restoreVm,
  saveVcpu,
  saveVm,
  TscFrequencyUnsupported,
} from "../../src/machine/kvm/save-restore.ts"
import { type VcpuState, vcpuComponent } from "../../src/machine/kvm/vcpu-state.ts"
import { type VmState, vmComponent } from "../../src/machine/kvm/vm-state.ts"
import { loadNative, type NativeVm } from "../../src/native.ts"
import { fakeKvm } from "../support/fake-kvm.ts"
import { kvmPath, kvmTest } from "../support/kvm.ts"
import { codeAddress, tinyGuest, x86 } from "../support/tiny-guest.ts"

const TSC = 0x10
const DEADLINE = 0x6e0
const LVT_TIMER = 0x320
const TMCCT = 0x390
const indices = [DEADLINE, TSC, 0x174, 0x1a0, 0x40000000]
const msrs = [
  [TSC, 5000n],
  [DEADLINE, 9000n],
  [0x174, 0x33n],
  [0x1a0, 1n],
] as const

const lapicWith = (register: number, value: number): Uint8Array => {
  const page = new Uint8Array(1024)
  new DataView(page.buffer).setUint32(register, value, true)
  return page
}

const thrownBy = (work: () => unknown): unknown => {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error("nothing was thrown")
}

const saveAll = (
  vm: NativeVm,
  msrIndices: readonly number[],
  time: PausedTime = capturePausedTime(vm),
): { readonly vcpus: readonly VcpuState[]; readonly shared: VmState; readonly wire: Uint8Array } => {
  const vcpus = Array.from({ length: vm.vcpuCount }, (_, index) => saveVcpu(vm, index, msrIndices, time))
  const shared = saveVm(vm, time)
  const payloads = [...vcpus.map((state) => vcpuComponent.encode(state).payload), vmComponent.encode(shared).payload]
  return { vcpus, shared, wire: Buffer.concat(payloads) }
}

test("a vCPU is restored in the order that KVM needs", () => {
  const source = fakeKvm({ msrs })
  const [state] = saveAll(source.vm, indices).vcpus
  const target = fakeKvm({ msrs: msrs.map(([index]) => [index, 0n] as const) })
  restoreVcpu(target.vm, 0, state!)
  assert.equal(target.calls, [
    "cpuid2",
    "mp_state",
    "regs",
    "sregs2",
    "xsave",
    "xcrs",
    "debugregs",
    "lapic",
    "msrs:174,1a0,10,6e0",
    "vcpu_events",
  ])
})

test("what the vCPUs share is restored timers first, I/O APIC last", () => {
  const target = fakeKvm()
  restoreVm(target.vm, saveAll(fakeKvm().vm, []).shared)
  assert.equal(target.calls, ["pit2", "clock", "pic_master", "pic_slave", "ioapic"])
  assert.is(target.structures.get("pic_slave")?.[0], 1, "chip id")
  assert.is(target.structures.get("ioapic")?.[0], 2, "chip id")
})

test("registers that have the saved value already are not written, the TSC and its deadline always", () => {
  const [state] = saveAll(fakeKvm({ msrs }).vm, indices).vcpus
  const target = fakeKvm({ msrs, refusedMsrs: [0x174] })
  restoreVcpu(target.vm, 0, state!)
  assert.ok(target.calls.includes("msrs:10,6e0"))
})

test("a register that is refused is named, unless its value is 0", () => {
  const [state] = saveAll(fakeKvm({ msrs: [...msrs, [0x600, 0n]] }).vm, [...indices, 0x600]).vcpus
  const error = thrownBy(() => restoreVcpu(fakeKvm({ refusedMsrs: [0x174, 0x1a0, 0x600] }).vm, 0, state!)) as MsrRefused
  assert.instance(error, MsrRefused)
  assert.equal(error.indices, [0x174, 0x1a0])
  assert.match(error.message, /0x174, 0x1a0/)
  restoreVcpu(fakeKvm({ refusedMsrs: [0x600] }).vm, 0, state!)
})

test("a host without XSAVE, SREGS2 or nested virtualization saves and restores", () => {
  const absent = ["sregs2", "xcrs", "nested_state"] as const
  const { vcpus } = saveAll(fakeKvm({ msrs, absent }).vm, indices)
  assert.not.ok("xcrs" in vcpus[0]!)
  assert.not.ok("nestedState" in vcpus[0]!)
  const target = fakeKvm({ absent })
  restoreVcpu(target.vm, 0, vcpus[0]!)
  assert.ok(target.calls.includes("sregs"))
  const rich = fakeKvm()
  restoreVcpu(rich.vm, 0, vcpus[0]!)
  assert.ok(rich.calls.includes("sregs2"))
})

test("a nested state is restored only where there is something in it, and refused clearly", () => {
  const [state] = saveAll(fakeKvm({ msrs }).vm, indices).vcpus
  const nestedState = new Uint8Array(128)
  const view = new DataView(nestedState.buffer)
  view.setBigUint64(8, 0xffff_ffff_ffff_ffffn, true)
  const idle = fakeKvm({ absent: ["nested_state"] })
  restoreVcpu(idle.vm, 0, { ...state!, nestedState })
  view.setBigUint64(8, 0x1000n, true)
  const busy = fakeKvm({ msrs: [[0x3a, 0n]] })
  restoreVcpu(busy.vm, 0, { ...state!, nestedState, msrs: [...state!.msrs, { index: 0x3a, value: 5n }] })
  assert.equal(busy.calls.slice(3, 6), ["sregs2", "msrs:3a", "nested_state"])
  const error = thrownBy(() => restoreVcpu(idle.vm, 0, { ...state!, nestedState }))
  assert.instance(error, NestedStateUnsupported)
})

test("the TSC's frequency is set only where it differs, and a host that cannot says so", () => {
  const [state] = saveAll(fakeKvm({ msrs, tscKhz: 2_000_000 }).vm, indices).vcpus
  const restoredOn = (tscKhz: number, setTscKhz = (_: number) => {}) => {
    const target = fakeKvm({ tscKhz, setTscKhz })
    restoreVcpu(target.vm, 0, state!)
    return target.calls[0]
  }
  assert.is(restoredOn(2_000_400), "cpuid2")
  assert.is(restoredOn(0), "cpuid2")
  assert.is(restoredOn(2_600_000), "tsc_khz:2000000")
  const cannot = () => {
    throw new Error("EINVAL")
  }
  assert.instance(
    thrownBy(() => restoredOn(2_600_000, cannot)),
    TscFrequencyUnsupported,
  )
})

test("a larger XSAVE area takes a smaller one", () => {
  const [state] = saveAll(fakeKvm({ msrs }).vm, indices).vcpus
  const target = fakeKvm({ xsaveSize: 8192 })
  restoreVcpu(target.vm, 0, state!)
  assert.is(target.structures.get("xsave0")?.length, 8192)
})

test("the state has the time of the pause, not of the save", () => {
  const source = fakeKvm({ msrs })
  source.structures.set("lapic0", lapicWith(TMCCT, 1000))
  source.structures.set("clock", new Uint8Array(48).fill(1, 0, 8))
  const time = capturePausedTime(source.vm)
  const first = saveAll(source.vm, indices, time)
  source.structures.set("lapic0", lapicWith(TMCCT, 400))
  source.structures.set("clock", new Uint8Array(48).fill(9, 0, 8))
  source.msrs[0]?.set(TSC, 7777n)
  source.msrs[0]?.set(DEADLINE, 0n)
  assert.equal(saveAll(source.vm, indices, time).wire, first.wire)
  assert.equal(pausedTimeOf(first.vcpus, first.shared), time)
})

test("an expired deadline becomes the present, where the timer goes by deadlines", () => {
  const deadlineSaved = (lvt: number, value: bigint) => {
    const source = fakeKvm({ msrs })
    source.structures.set("lapic0", lapicWith(LVT_TIMER, lvt))
    source.msrs[0]?.set(DEADLINE, value)
    const state = saveAll(source.vm, indices).vcpus[0]
    return state?.msrs.find((entry) => entry.index === DEADLINE)?.value
  }
  const deadlineMode = 2 << 17
  assert.is(deadlineSaved(deadlineMode | 0xec, 0n), 5000n)
  assert.is(deadlineSaved(deadlineMode | 0xec, 9000n), 9000n)
  assert.is(deadlineSaved(0xec, 0n), 0n)
  assert.is(deadlineSaved((1 << 17) | 0xec, 0n), 0n)
})

test("time is applied clock first, then every TSC, then every deadline", () => {
  const source = fakeKvm({ msrs, vcpuCount: 2 })
  const time = capturePausedTime(source.vm)
  const target = fakeKvm({ vcpuCount: 2 })
  applyPausedTime(target.vm, time)
  assert.equal(target.calls, ["clock", "msrs:10", "msrs:10", "msrs:6e0", "msrs:6e0"])
  const withoutDeadline = capturePausedTime(fakeKvm({ msrs: [[TSC, 1n]] }).vm)
  const plain = fakeKvm()
  applyPausedTime(plain.vm, withoutDeadline)
  assert.equal(plain.calls, ["clock", "msrs:10"])
})

test("the clock goes on from the pause; with realtime it jumps, where the wall clock is known", () => {
  const source = fakeKvm({ msrs })
  const clock = new Uint8Array(48)
  const view = new DataView(clock.buffer)
  view.setBigUint64(0, 123n, true)
  view.setUint32(8, 0b1110, true)
  view.setBigUint64(16, 456n, true)
  view.setBigUint64(24, 789n, true)
  source.structures.set("clock", clock)
  const time = capturePausedTime(source.vm)
  const clockSet = (realtime: boolean) => {
    const target = fakeKvm()
    applyPausedTime(target.vm, time, { realtime })
    const set = new DataView(target.structures.get("clock")!.buffer)
    return [set.getBigUint64(0, true), set.getUint32(8, true), set.getBigUint64(16, true), set.getBigUint64(24, true)]
  }
  assert.equal(clockSet(false), [123n, 0, 0n, 0n])
  assert.equal(clockSet(true), [123n, 4, 456n, 0n])
  view.setUint32(8, 0b0010, true)
  const without = capturePausedTime(source.vm)
  assert.instance(
    thrownBy(() => applyPausedTime(fakeKvm().vm, without, { realtime: true })),
    ClockRealtimeMissing,
  )
})

// On KVM.

/** Counts in BX for ever. */
const counting = [...x86.incBx, ...x86.jumpBack(1)]

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

kvmTest("a guest that ran is the same to the byte after save, restore and save", async () => {
  const { msrIndices } = loadNative().probeHost(kvmPath)
  const source = tinyGuest(counting, { vcpuCount: 2 })
  const target = tinyGuest(counting, { vcpuCount: 2 })
  source.vm.resume()
  await sleep(50)
  await source.pause()
  const time = capturePausedTime(source.vm)
  const first = saveAll(source.vm, msrIndices, time)
  await sleep(20)
  assert.equal(saveAll(source.vm, msrIndices, time).wire, first.wire, "saved twice")

  first.vcpus.forEach((state, index) => {
    restoreVcpu(target.vm, index, state)
  })
  restoreVm(target.vm, first.shared)
  await sleep(20)
  const second = saveAll(target.vm, msrIndices, pausedTimeOf(first.vcpus, first.shared))
  assert.equal(second.vcpus, first.vcpus)
  assert.equal(second.wire, first.wire, "restored")
  assert.is.not(first.vcpus[0]?.regs.rbx, 0n, "the guest has run")

  // And it goes on from there.
  target.ram.set(counting, codeAddress)
  applyPausedTime(target.vm, pausedTimeOf(second.vcpus, second.shared))
  target.vm.resume()
  await sleep(50)
  await target.pause()
  const third = saveAll(target.vm, msrIndices)
  assert.is.not(third.vcpus[0]?.regs.rbx, second.vcpus[0]?.regs.rbx)
  assert.ok(third.shared.clock.clock > second.shared.clock.clock)
  const seconds = Number(third.shared.clock.clock - second.shared.clock.clock) / 1e9
  assert.ok(seconds < 5, `the clock went on from the pause, not from the save: ${seconds} s`)
  await source.close()
  await target.close()
})

kvmTest("a state that went through the wire restores", async () => {
  const { msrIndices } = loadNative().probeHost(kvmPath)
  const source = tinyGuest(counting)
  const target = tinyGuest(counting)
  const first = saveAll(source.vm, msrIndices)
  const vcpu = vcpuComponent.decode(vcpuComponent.encode(first.vcpus[0]!))
  assert.equal(vcpu, first.vcpus[0])
  restoreVcpu(target.vm, 0, vcpu)
  restoreVm(target.vm, vmComponent.decode(vmComponent.encode(first.shared)))
  await source.close()
  await target.close()
})

kvmTest("a register that KVM does not know is refused by name", async () => {
  const { msrIndices } = loadNative().probeHost(kvmPath)
  const guest = tinyGuest(counting)
  const [state] = saveAll(guest.vm, msrIndices).vcpus
  const unknown = { index: 0x1234_5678, value: 1n }
  const error = thrownBy(() => restoreVcpu(guest.vm, 0, { ...state!, msrs: [...state!.msrs, unknown] })) as MsrRefused
  assert.instance(error, MsrRefused)
  assert.equal(error.indices, [unknown.index])
  await guest.close()
})

test.run()
