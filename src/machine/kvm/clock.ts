/** `struct kvm_clock_data`: the paravirtual clock of the machine, in nanoseconds (KVM_GET_CLOCK). */
import { reserved, structure, u32, u64, type Value } from "./structure.ts"

export const KvmClockData = structure("kvm_clock_data", {
  clock: u64,
  flags: u32,
  pad0: reserved(4),
  /** Wall clock at the same instant, in nanoseconds since 1970; valid with {@link CLOCK_REALTIME}. */
  realtime: u64,
  /** The host's TSC at the same instant; valid with {@link CLOCK_HOST_TSC}. */
  hostTsc: u64,
  pad: reserved(16),
})

export type ClockData = Value<typeof KvmClockData>

export const CLOCK_REALTIME = 1 << 2
export const CLOCK_HOST_TSC = 1 << 3
