/**
 * Reads a parked machine's state out of KVM, and puts it into a fresh one. The orders matter, and are explained where
 * they are kept. Memory and devices are the affair of others.
 */
import * as Data from "effect/Data"
import { type NativeVm, toKvmError, type VcpuStructure } from "../../native.ts"
import { KvmClockData } from "./clock.ts"
import { decodeCpuid, encodeCpuid } from "./cpuid.ts"
import { KvmDebugregs } from "./debugregs.ts"
import { IRQCHIP_IOAPIC, IRQCHIP_PIC_MASTER, IRQCHIP_PIC_SLAVE, KvmIrqchipIoapic, KvmIrqchipPic } from "./irqchip.ts"
import { APIC_TIMER_CURRENT_COUNT, withApic } from "./lapic-page.ts"
import { KvmMpState } from "./mp-state.ts"
import { MsrRefused } from "./msr-refused.ts"

import {
  decodeMsrs,
  encodeMsrs,
  IA32_FEATURE_CONTROL,
  IA32_TSC,
  IA32_TSC_DEADLINE,
  type MsrEntry,
  stateMsrIndices,
} from "./msrs.ts"
import { isNestedIdle } from "./nested-state.ts"
import { clockToSet, type PausedTime, type VcpuTime } from "./paused-time.ts"
import { KvmPitState2, withoutLoadTimes } from "./pit.ts"
import { KvmRegs } from "./regs.ts"
import { KvmSregs, KvmSregs2, type Sregs2, sregs2Of, sregsOf } from "./sregs.ts"
import { KvmVcpuEvents } from "./vcpu-events.ts"
import type { VcpuState } from "./vcpu-state.ts"
import type { VmState } from "./vm-state.ts"
import { KvmXcrs } from "./xcrs.ts"
import { fitXsave } from "./xsave.ts"

export { MsrRefused } from "./msr-refused.ts"

/** The guest's TSC runs at a frequency that this host cannot give it. */
export class TscFrequencyUnsupported extends Data.TaggedError("TscFrequencyUnsupported")<{
  readonly message: string
  readonly savedKhz: number
  readonly hostKhz: number
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_TSC_FREQUENCY_UNSUPPORTED"
}

/** The guest runs a guest of its own, which this host cannot take over. */
export class NestedStateUnsupported extends Data.TaggedError("NestedStateUnsupported")<{
  readonly message: string
  readonly vcpu: number
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_NESTED_STATE_UNSUPPORTED"
}

/** What KVM answers to an ioctl that this kernel, or this processor, does not have. */
const ABSENT = ["ENOTTY", "EINVAL", "EOPNOTSUPP"]

/** The structure, or `undefined` on a host without it. */
const getOptional = (vm: NativeVm, vcpu: number, structure: VcpuStructure): Uint8Array | undefined => {
  try {
    return vm.getVcpu(vcpu, structure)
  } catch (cause) {
    const error = toKvmError(cause)
    // The addon itself refuses to ask for a nested state where the capability is 0.
    const isRefusal = structure === "nested_state" && error.errno === 0
    if (isRefusal || ABSENT.includes(error.errnoName)) return undefined
    throw error
  }
}

const getSregs = (vm: NativeVm, vcpu: number): Sregs2 => {
  const sregs2 = getOptional(vm, vcpu, "sregs2")
  return sregs2 === undefined ? sregs2Of(KvmSregs.decode(vm.getVcpu(vcpu, "sregs"))) : KvmSregs2.decode(sregs2)
}

const setSregs = (vm: NativeVm, vcpu: number, sregs: Sregs2): void => {
  if (getOptional(vm, vcpu, "sregs2") === undefined) vm.setVcpu(vcpu, "sregs", KvmSregs.encode(sregsOf(sregs)))
  else vm.setVcpu(vcpu, "sregs2", KvmSregs2.encode(sregs))
}

/** The registers that go on while nothing runs are those of the pause. */
const atPause = (msrs: readonly MsrEntry[], time: VcpuTime): readonly MsrEntry[] =>
  msrs.map((entry) => {
    if (entry.index === IA32_TSC) return { index: entry.index, value: time.tsc }
    if (entry.index === IA32_TSC_DEADLINE && time.tscDeadline !== undefined) {
      return { index: entry.index, value: time.tscDeadline }
    }
    return entry
  })

/**
 * Reads one vCPU.
 * @param msrIndices KVM_GET_MSR_INDEX_LIST of this host
 * @param time read when the machine paused, or the snapshot's own where it has not run since
 */
export const saveVcpu = (vm: NativeVm, index: number, msrIndices: readonly number[], time: PausedTime): VcpuState => {
  const vcpuTime = time.vcpus[index]
  if (vcpuTime === undefined) throw new RangeError(`the paused time has no vCPU ${index}`)
  // First: KVM_GET_MP_STATE lets a pending INIT or start-up interrupt take effect, which changes everything else.
  const mpState = KvmMpState.decode(vm.getVcpu(index, "mp_state"))
  const regs = KvmRegs.decode(vm.getVcpu(index, "regs"))
  const sregs = getSregs(vm, index)
  const xsave = vm.getVcpu(index, "xsave")
  const xcrs = getOptional(vm, index, "xcrs")
  const debugregs = KvmDebugregs.decode(vm.getVcpu(index, "debugregs"))
  const lapic = withApic(vm.getVcpu(index, "lapic"), APIC_TIMER_CURRENT_COUNT, vcpuTime.timerCurrentCount)
  const tscKhz = vm.getTscKhz(index)
  const cpuid = decodeCpuid(vm.getVcpu(index, "cpuid2"))
  const msrs = atPause(decodeMsrs(vm.getMsrs(index, stateMsrIndices(msrIndices)).entries), vcpuTime)
  const nestedState = getOptional(vm, index, "nested_state")
  // Last: the getters above may turn a pending event into an injected one.
  const events = KvmVcpuEvents.decode(vm.getVcpu(index, "vcpu_events"))
  return {
    index,
    mpState,
    regs,
    sregs,
    xsave,
    ...(xcrs === undefined ? {} : { xcrs: KvmXcrs.decode(xcrs) }),
    debugregs,
    lapic,
    tscKhz,
    cpuid,
    msrs,
    ...(nestedState === undefined ? {} : { nestedState }),
    events,
  }
}

/** Tolerance of a frequency: what NTP can trim, and what one measurement of it differs from the next. */
export const TSC_TOLERANCE = 250e-6

const restoreTscFrequency = (vm: NativeVm, index: number, savedKhz: number): void => {
  const hostKhz = vm.getTscKhz(index)
  if (savedKhz === 0 || hostKhz === 0 || Math.abs(savedKhz - hostKhz) <= savedKhz * TSC_TOLERANCE) return
  try {
    vm.setTscKhz(index, savedKhz)
  } catch (cause) {
    throw new TscFrequencyUnsupported({
      message: `the guest was saved with a TSC of ${savedKhz} kHz; this host has ${hostKhz} kHz and cannot scale it; restore on a host with TSC scaling or with the same frequency`,
      savedKhz,
      hostKhz,
      cause,
    })
  }
}

/** An idle nested state is what a fresh vCPU has anyway, and says nothing on a host of another vendor. */
const restoreNested = (vm: NativeVm, index: number, state: VcpuState): void => {
  if (state.nestedState === undefined || isNestedIdle(state.nestedState)) return
  try {
    // KVM takes VMX state only once the firmware's lock allows VMX.
    const featureControl = state.msrs.filter((entry) => entry.index === IA32_FEATURE_CONTROL)
    if (featureControl.length > 0) vm.setMsrs(index, encodeMsrs(featureControl))
    vm.setVcpu(index, "nested_state", state.nestedState)
  } catch (cause) {
    throw new NestedStateUnsupported({
      message: `vCPU ${index} was saved while its guest used nested virtualization, which this host does not take over: ${toKvmError(cause).message}`,
      vcpu: index,
      cause,
    })
  }
}

/** IA32_TSC is always written: it is never what it was. IA32_TSC_DEADLINE too, and it comes last. */
const restoreMsrs = (vm: NativeVm, index: number, msrs: readonly MsrEntry[]): void => {
  const current = new Map(
    decodeMsrs(
      vm.getMsrs(
        index,
        msrs.map((entry) => entry.index),
      ).entries,
    ).map((entry) => [entry.index, entry.value]),
  )
  // What is already there need not be written, and is better not: to some registers writing is a command (the
  // paravirtual wall clock writes into guest memory), and some take only what a host of the same kind has.
  const changed = msrs.filter(
    ({ index: msr, value }) => msr !== IA32_TSC && msr !== IA32_TSC_DEADLINE && current.get(msr) !== value,
  )
  const tsc = msrs.filter((entry) => entry.index === IA32_TSC)
  // Writing the deadline arms the timer against the TSC as it is then.
  const deadline = msrs.filter((entry) => entry.index === IA32_TSC_DEADLINE)
  const ordered = [...changed, ...tsc, ...deadline]
  const refused = new Set(vm.setMsrs(index, encodeMsrs(ordered)))
  const lost = ordered.filter(({ index: msr, value }) => refused.has(msr) && value !== 0n)
  if (lost.length > 0) {
    throw MsrRefused.at(
      index,
      lost.map((entry) => entry.index),
    )
  }
}

/**
 * Puts a saved state into a vCPU that has never run.
 * @throws KvmError, MsrRefused, TscFrequencyUnsupported, NestedStateUnsupported, KvmStructureInvalid
 */
export const restoreVcpu = (vm: NativeVm, index: number, state: VcpuState): void => {
  // Before the TSC, which KVM converts by it.
  restoreTscFrequency(vm, index, state.tscKhz)
  // Before all registers: KVM checks their bits against it.
  vm.setVcpu(index, "cpuid2", encodeCpuid(state.cpuid))
  vm.setVcpu(index, "mp_state", KvmMpState.encode(state.mpState))
  vm.setVcpu(index, "regs", KvmRegs.encode(state.regs))
  setSregs(vm, index, state.sregs)
  // With the control registers in place, and before the state that belongs to whoever runs now.
  restoreNested(vm, index, state)
  vm.setVcpu(index, "xsave", fitXsave(state.xsave, vm.getVcpu(index, "xsave").length))
  if (state.xcrs !== undefined) vm.setVcpu(index, "xcrs", KvmXcrs.encode(state.xcrs))
  vm.setVcpu(index, "debugregs", KvmDebugregs.encode(state.debugregs))
  // After the special registers, which hold the APIC's base and mode; before the MSRs, of which the deadline needs it.
  vm.setVcpu(index, "lapic", state.lapic)
  restoreMsrs(vm, index, state.msrs)
  // Last: KVM_SET_REGS and others clear pending events.
  vm.setVcpu(index, "vcpu_events", KvmVcpuEvents.encode(state.events))
}

/** Reads what the vCPUs share. */
export const saveVm = (vm: NativeVm, time: PausedTime): VmState => ({
  picMaster: KvmIrqchipPic.decode(vm.getVm("pic_master")).pic,
  picSlave: KvmIrqchipPic.decode(vm.getVm("pic_slave")).pic,
  ioapic: KvmIrqchipIoapic.decode(vm.getVm("ioapic")).ioapic,
  pit: withoutLoadTimes(KvmPitState2.decode(vm.getVm("pit2"))),
  clock: time.clock,
})

/**
 * Puts the shared state in place. After every vCPU: the I/O APIC passes interrupts that are still pending on to the
 * local APICs as soon as it is set. Before the devices: theirs would be overwritten.
 */
export const restoreVm = (vm: NativeVm, state: VmState): void => {
  vm.setVm("pit2", KvmPitState2.encode(state.pit))
  vm.setVm("clock", KvmClockData.encode(clockToSet(state.clock, false)))
  vm.setVm("pic_master", KvmIrqchipPic.encode({ chipId: IRQCHIP_PIC_MASTER, pic: state.picMaster }))
  vm.setVm("pic_slave", KvmIrqchipPic.encode({ chipId: IRQCHIP_PIC_SLAVE, pic: state.picSlave }))
  vm.setVm("ioapic", KvmIrqchipIoapic.encode({ chipId: IRQCHIP_IOAPIC, ioapic: state.ioapic }))
}
