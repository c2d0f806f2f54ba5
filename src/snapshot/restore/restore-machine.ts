/**
 * Puts a saved state into a machine that has not run.
 */
import * as Effect from "effect/Effect"
import type { DeviceStateRefused } from "../../devices/device.ts"
import { type PausedTime, pausedTimeOf } from "../../machine/kvm/paused-time.ts"
import {
  MsrRefused,
  NestedStateUnsupported,
  restoreVcpu,
  restoreVm,
  TscFrequencyUnsupported,
} from "../../machine/kvm/save-restore.ts"
import { keepSharedStructures } from "../../machine/kvm/shared-pages.ts"
import { KvmStructureInvalid } from "../../machine/kvm/structure.ts"
import type { Machine } from "../../machine/machine.ts"
import { type KvmError, toKvmError } from "../../native.ts"
import type { MachineSnapshot } from "../sections.ts"

/** Why this host's KVM does not take a state. */
export type RestoreRefused =
  | KvmError
  | KvmStructureInvalid
  | MsrRefused
  | NestedStateUnsupported
  | TscFrequencyUnsupported

const refusals = [KvmStructureInvalid, MsrRefused, NestedStateUnsupported, TscFrequencyUnsupported]

const asRefusal = (error: unknown): RestoreRefused =>
  refusals.some((refusal) => error instanceof refusal) ? (error as RestoreRefused) : toKvmError(error)

/**
 * vCPUs, then the virtual machine, then the devices: a device may raise an interrupt as it comes back, which a later
 * restore of the interrupt controllers would wipe out.
 * @returns what the clocks show until the machine first runs
 */
export const restoreMachine = (
  machine: Machine,
  snapshot: MachineSnapshot,
): Effect.Effect<PausedTime, RestoreRefused | DeviceStateRefused> =>
  Effect.gen(function* () {
    yield* Effect.try({
      try: () => {
        const putBack = keepSharedStructures(machine.memory, snapshot.vcpus)
        snapshot.vcpus.forEach((state, index) => {
          restoreVcpu(machine.vm, index, state)
        })
        restoreVm(machine.vm, snapshot.vm)
        putBack()
      },
      catch: asRefusal,
    })
    for (const device of machine.devices) yield* device.restore(snapshot.devices.get(device.id))
    return pausedTimeOf(snapshot.vcpus, snapshot.vm)
  })
