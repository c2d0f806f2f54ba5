/** `struct kvm_pit_state2`: the 8254 timer (KVM_GET_PIT2). */
import { array, reserved, structure, u8, u16, u32, u64, type Value } from "./structure.ts"

const KvmPitChannelState = structure("kvm_pit_channel_state", {
  count: u32,
  latchedCount: u16,
  countLatched: u8,
  statusLatched: u8,
  status: u8,
  readState: u8,
  writeState: u8,
  writeLatch: u8,
  rwMode: u8,
  mode: u8,
  bcd: u8,
  gate: u8,
  /** Two's complement; nanoseconds of the host's monotonic clock. */
  countLoadTime: u64,
})

export const KvmPitState2 = structure("kvm_pit_state2", {
  channels: array(KvmPitChannelState, 3),
  flags: u32,
  reserved: reserved(36),
})

export type PitState = Value<typeof KvmPitState2>

/**
 * Without the load times: they are readings of this host's clock, and mean nothing elsewhere or later. KVM_SET_PIT2
 * loads every counter anew and takes the time of that.
 */
export const withoutLoadTimes = (pit: PitState): PitState => ({
  ...pit,
  channels: pit.channels.map((channel) => ({ ...channel, countLoadTime: 0n })),
})
