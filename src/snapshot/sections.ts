/**
 * The sections of a machine's snapshot, and the registry of every component that they can hold.
 */
import { deviceComponents } from "../devices/registry.ts"
import { type MachineState, machineComponent } from "../machine/config.ts"
import { type VcpuState, vcpuComponent } from "../machine/kvm/vcpu-state.ts"
import { type VmState, vmComponent } from "../machine/kvm/vm-state.ts"
import { deviceIds } from "../machine/machine.ts"
import { StateInvalid, type StateVersionUnsupported } from "../state/component.ts"
import type { Section } from "../state/envelope.ts"
import {
  checkSections,
  decodeSection,
  type ExpectedSection,
  makeRegistry,
  type SectionsUnsupported,
} from "../state/registry.ts"

/** Why sections cannot be read here. */
export type StateError = StateInvalid | StateVersionUnsupported | SectionsUnsupported

/** Every component of this release but the manifest. */
export const registry = makeRegistry([machineComponent, vmComponent, vcpuComponent, ...deviceComponents])

export const MACHINE_SECTION = "machine"
export const VM_SECTION = "vm"
export const vcpuSection = (index: number): string => `vcpu${index}`

/** The state of a whole machine, decoded and of the current versions. */
export interface MachineSnapshot {
  readonly machine: MachineState
  readonly vm: VmState
  /** In order of the vCPUs. */
  readonly vcpus: readonly VcpuState[]
  /** By device id. */
  readonly devices: ReadonlyMap<string, unknown>
}

/** What a machine needs to find in its snapshot. */
export const expectedOf = (machine: MachineState): readonly ExpectedSection[] => [
  { name: MACHINE_SECTION, kind: machineComponent.kind },
  { name: VM_SECTION, kind: vmComponent.kind },
  ...Array.from({ length: machine.vcpus }, (_, index) => ({ name: vcpuSection(index), kind: vcpuComponent.kind })),
  ...deviceIds(machine.devices).map(({ id, kind }) => ({ name: id, kind })),
]

const missingMachine = (): StateInvalid =>
  new StateInvalid({
    message: `the snapshot has no section ${MACHINE_SECTION}`,
    kind: machineComponent.kind,
    version: machineComponent.version,
  })

/**
 * Decodes every section.
 * @throws SectionsUnsupported, StateInvalid, StateVersionUnsupported
 */
export const decodeSections = (sections: readonly Section[]): MachineSnapshot => {
  const byName = new Map(sections.map((section) => [section.name, section]))
  const machineSection = byName.get(MACHINE_SECTION)
  if (machineSection === undefined) throw missingMachine()
  const machine = decodeSection(machineComponent, machineSection)
  checkSections(registry, sections, expectedOf(machine))

  const named = (name: string): Section => byName.get(name) as Section
  const devices = deviceIds(machine.devices).map(({ id }) => {
    const section = named(id)
    return [id, registry.get(section.kind)?.decode(section)] as const
  })
  return {
    machine,
    vm: decodeSection(vmComponent, named(VM_SECTION)),
    vcpus: Array.from({ length: machine.vcpus }, (_, index) => decodeSection(vcpuComponent, named(vcpuSection(index)))),
    devices: new Map(devices),
  }
}
