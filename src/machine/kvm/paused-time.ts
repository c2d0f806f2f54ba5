/**
 * The time of a paused machine.
 *
 * While no vCPU runs, four things inside KVM go on all the same: the paravirtual clock, each vCPU's TSC, the count left
 * in its APIC timer, and an armed TSC deadline, which is cleared once it has passed. They are therefore read once, at
 * the pause, and a snapshot holds what was read then. What is restored is set again just before the machine first
 * runs. So a machine that is saved, restored and saved again without running has the same state to the byte.
 */
import * as Data from "effect/Data"
import type { NativeVm } from "../../native.ts"
import { CLOCK_REALTIME, type ClockData, KvmClockData } from "./clock.ts"
import { APIC_TIMER_CURRENT_COUNT, readApic, usesTscDeadline } from "./lapic-page.ts"
import { decodeMsrs, encodeMsrs, IA32_TSC, IA32_TSC_DEADLINE, type MsrEntry } from "./msrs.ts"
import type { VcpuState } from "./vcpu-state.ts"
import type { VmState } from "./vm-state.ts"

/** Time of one vCPU. */
export interface VcpuTime {
  /** IA32_TSC. */
  readonly tsc: bigint
  /** IA32_TSC_DEADLINE; `undefined` where the processor has none. */
  readonly tscDeadline: bigint | undefined
  /** Current count of the APIC timer. */
  readonly timerCurrentCount: number
}

export interface PausedTime {
  readonly clock: ClockData
  readonly vcpus: readonly VcpuTime[]
}

/** The snapshot has no wall-clock time to go by. */
export class ClockRealtimeMissing extends Data.TaggedError("ClockRealtimeMissing")<{ readonly message: string }> {
  readonly code = "CRYOVM_CLOCK_REALTIME_MISSING"
}

const msrValue = (msrs: readonly MsrEntry[], index: number): bigint | undefined =>
  msrs.find((entry) => entry.index === index)?.value

/**
 * A deadline of 0 means that none is armed, but also that the timer has just expired and its interrupt waits inside
 * KVM, in a place that no ioctl shows. A guest that lost it would wait for ever; one interrupt too many does no harm.
 * So where the timer is in deadline mode, 0 becomes the present TSC: the timer expires as soon as the guest runs.
 */
const deadlineOf = (deadline: bigint | undefined, tsc: bigint, lapic: Uint8Array): bigint | undefined =>
  deadline === 0n && usesTscDeadline(lapic) ? tsc : deadline

/** Reads the time of a machine whose vCPUs have just parked. */
export const capturePausedTime = (vm: NativeVm): PausedTime => ({
  clock: KvmClockData.decode(vm.getVm("clock")),
  vcpus: Array.from({ length: vm.vcpuCount }, (_, vcpu) => {
    const lapic = vm.getVcpu(vcpu, "lapic")
    const msrs = decodeMsrs(vm.getMsrs(vcpu, [IA32_TSC, IA32_TSC_DEADLINE]).entries)
    const tsc = msrValue(msrs, IA32_TSC) ?? 0n
    return {
      tsc,
      tscDeadline: deadlineOf(msrValue(msrs, IA32_TSC_DEADLINE), tsc, lapic),
      timerCurrentCount: readApic(lapic, APIC_TIMER_CURRENT_COUNT),
    }
  }),
})

/** The time that a saved machine was paused at; `vcpus` in the order of their indices. */
export const pausedTimeOf = (vcpus: readonly VcpuState[], vm: VmState): PausedTime => ({
  clock: vm.clock,
  vcpus: vcpus.map((vcpu) => ({
    tsc: msrValue(vcpu.msrs, IA32_TSC) ?? 0n,
    tscDeadline: msrValue(vcpu.msrs, IA32_TSC_DEADLINE),
    timerCurrentCount: readApic(vcpu.lapic, APIC_TIMER_CURRENT_COUNT),
  })),
})

/** What KVM_SET_CLOCK is given. With `flags` 0 the clock goes on from the saved value, as if no time had passed. */
export const clockToSet = (clock: ClockData, advanceByRealtime: boolean): ClockData => {
  if (!advanceByRealtime) return { clock: clock.clock, flags: 0, realtime: 0n, hostTsc: 0n }
  if ((clock.flags & CLOCK_REALTIME) === 0) {
    throw new ClockRealtimeMissing({
      message:
        "the guest's clock cannot be advanced by the time that passed, because the host that saved it did not tell the wall clock (it needs Linux 5.16); restore without it, and let the guest set its clock",
    })
  }
  return { clock: clock.clock, flags: CLOCK_REALTIME, realtime: clock.realtime, hostTsc: 0n }
}

/**
 * Sets the time of a restored machine, just before it first runs.
 * @param options.realtime lets the paravirtual clock jump ahead by the wall-clock time since the pause
 * @throws ClockRealtimeMissing
 */
export const applyPausedTime = (
  vm: NativeVm,
  time: PausedTime,
  options: { readonly realtime?: boolean } = {},
): void => {
  vm.setVm("clock", KvmClockData.encode(clockToSet(time.clock, options.realtime === true)))
  // First every TSC: KVM takes values that are close and written close together as one clock, and joins them.
  time.vcpus.forEach(({ tsc }, vcpu) => {
    vm.setMsrs(vcpu, encodeMsrs([{ index: IA32_TSC, value: tsc }]))
  })
  // Then the deadlines: writing one arms the timer against the TSC of that moment, and clears an expiry that is pending.
  time.vcpus.forEach(({ tscDeadline }, vcpu) => {
    if (tscDeadline !== undefined) vm.setMsrs(vcpu, encodeMsrs([{ index: IA32_TSC_DEADLINE, value: tscDeadline }]))
  })
}
