/**
 * Structures in guest memory that KVM writes on its own, where a model-specific register of the guest says they are.
 *
 * Setting those registers makes KVM write there at once, with the host's time of that moment: the wall clock always,
 * the system time where the host updates it early. A restored machine has not run, and its memory is still what was
 * saved; so these structures are put back after the registers are set. KVM writes them anew when a vCPU first runs.
 * (Linux, Documentation/virt/kvm/x86/msr.rst.)
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import type { VcpuState } from "./vcpu-state.ts"

interface SharedStructure {
  readonly msr: number
  readonly bytes: number
  /** Bits of the register that are not address. */
  readonly flags: bigint
}

const structures: readonly SharedStructure[] = [
  // struct pvclock_wall_clock: MSR_KVM_WALL_CLOCK and its first form
  { msr: 0x11, bytes: 12, flags: 0n },
  { msr: 0x4b564d00, bytes: 12, flags: 0n },
  // struct pvclock_vcpu_time_info: MSR_KVM_SYSTEM_TIME and its first form; bit 0 enables
  { msr: 0x12, bytes: 32, flags: 1n },
  { msr: 0x4b564d01, bytes: 32, flags: 1n },
  // struct kvm_steal_time; bit 0 enables, the rest of the low six are reserved
  { msr: 0x4b564d03, bytes: 64, flags: 0x3fn },
]

/** Copies those structures; the function it gives puts the copies back. */
export const keepSharedStructures = (memory: GuestMemory, vcpus: readonly VcpuState[]): (() => void) => {
  const kept = vcpus.flatMap(({ msrs }) =>
    structures.flatMap(({ msr, bytes, flags }) => {
      const value = msrs.find((entry) => entry.index === msr)?.value ?? 0n
      const address = Number(value & ~flags)
      const live = value === 0n ? undefined : memory.bytes(address, bytes)
      return live === undefined ? [] : [{ live, copy: live.slice() }]
    }),
  )
  return () => {
    for (const { live, copy } of kept) live.set(copy)
  }
}
