/**
 * A paused machine's state as sections.
 */
import * as Effect from "effect/Effect"
import { type MachineState, machineComponent } from "../../machine/config.ts"
import type { PausedTime } from "../../machine/kvm/paused-time.ts"
import { saveVcpu, saveVm } from "../../machine/kvm/save-restore.ts"
import { vcpuComponent } from "../../machine/kvm/vcpu-state.ts"
import { vmComponent } from "../../machine/kvm/vm-state.ts"
import type { Machine } from "../../machine/machine.ts"
import { type KvmError, toKvmError } from "../../native.ts"
import type { Section } from "../../state/envelope.ts"
import { encodeSection } from "../../state/registry.ts"
import { MACHINE_SECTION, VM_SECTION, vcpuSection } from "../sections.ts"

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
): Effect.Effect<readonly Section[], KvmError> =>
  Effect.gen(function* () {
    for (const device of machine.devices) yield* device.quiesce
    return yield* Effect.try({
      try: () => {
        const devices = machine.devices.map((device) => encodeSection(device.id, device.component, device.save()))
        const vcpus = Array.from({ length: machine.vcpus }, (_, index) =>
          encodeSection(vcpuSection(index), vcpuComponent, saveVcpu(machine.vm, index, msrIndices, time)),
        )
        return [
          encodeSection(MACHINE_SECTION, machineComponent, machineState),
          encodeSection(VM_SECTION, vmComponent, saveVm(machine.vm, time)),
          ...vcpus,
          ...devices,
        ]
      },
      catch: toKvmError,
    })
  })
