/**
 * Whether a `struct kvm_nested_state` says nothing: u16 flags (bit 0: in guest mode), u16 format (0: VMX), u32 size,
 * then u64 vmxon_pa.
 */
export const isNestedIdle = (state: Uint8Array): boolean => {
  const view = new DataView(state.buffer, state.byteOffset, state.byteLength)
  if (state.length < 16) return true
  const inGuestMode = (view.getUint16(0, true) & 1) !== 0
  const hasVmxon = view.getUint16(2, true) === 0 && view.getBigUint64(8, true) !== 0xffff_ffff_ffff_ffffn
  return !inGuestMode && !hasVmxon
}
