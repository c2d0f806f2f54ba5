/**
 * A paused machine's state: taken while it is paused, made into sections when it runs again.
 */
import * as Effect from "effect/Effect"
import { type MachineState, machineComponent } from "../../machine/config.ts"
import type { PausedTime } from "../../machine/kvm/paused-time.ts"
import { saveVcpu, saveVm } from "../../machine/kvm/save-restore.ts"
import { type VcpuState, vcpuComponent } from "../../machine/kvm/vcpu-state.ts"
import { type VmState, vmComponent } from "../../machine/kvm/vm-state.ts"
import type { AnyDevice, Machine } from "../../machine/machine.ts"
import { type KvmError, toKvmError } from "../../native.ts"
import type { Section } from "../../state/envelope.ts"
import { encodeSection } from "../../state/registry.ts"
import { MACHINE_SECTION, VM_SECTION, vcpuSection } from "../sections.ts"

/** Values of their own: what the machine does later does not reach them. */
export interface SavedMachine {
  readonly machine: MachineState
  readonly vm: VmState
  readonly vcpus: readonly VcpuState[]
  readonly devices: readonly { readonly device: AnyDevice; readonly state: unknown }[]
}

/**
 * Devices are held still and saved before KVM's state: one that still had work could raise an interrupt, which belongs
 * into the interrupt controllers' state.
 * @param msrIndices the MSRs to save, KVM_GET_MSR_INDEX_LIST
 * @param time what the machine's clocks showed when it was paused
 */
export const saveMachine = (
  machine: Machine,
  machineState: MachineState,
  msrIndices: readonly number[],
  time: PausedTime,
): Effect.Effect<SavedMachine, KvmError> =>
  Effect.gen(function* () {
    for (const device of machine.devices) yield* device.quiesce
    return yield* Effect.try({
      try: () => {
        const devices = machine.devices.map((device) => ({ device, state: device.save() }))
        const vcpus = Array.from({ length: machine.vcpus }, (_, index) => saveVcpu(machine.vm, index, msrIndices, time))
        return { machine: machineState, vm: saveVm(machine.vm, time), vcpus, devices }
      },
      catch: toKvmError,
    })
  })

/** The sections of a machine that was saved. */
export const sectionsOf = ({ machine, vm, vcpus, devices }: SavedMachine): readonly Section[] => [
  encodeSection(MACHINE_SECTION, machineComponent, machine),
  encodeSection(VM_SECTION, vmComponent, vm),
  ...vcpus.map((state, index) => encodeSection(vcpuSection(index), vcpuComponent, state)),
  ...devices.map(({ device, state }) => encodeSection(device.id, device.component, state)),
]
