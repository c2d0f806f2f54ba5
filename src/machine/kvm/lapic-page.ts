/**
 * `struct kvm_lapic_state`: the register page of a local APIC, its first 1,024 bytes, one 32-bit register each 16
 * bytes (Intel SDM, volume 3, table "Local APIC Register Address Map"). Kept as bytes: registers are defined by the
 * architecture, and newer processors use more of them.
 */

export const LAPIC_PAGE_SIZE = 0x400

export const APIC_LVT_TIMER = 0x320
export const APIC_LVT_LINT0 = 0x350
export const APIC_LVT_LINT1 = 0x360
/** What is left of the timer's count: falls while time passes. */
export const APIC_TIMER_CURRENT_COUNT = 0x390

/** Timer mode in the LVT timer register, bits 18:17. */
const TIMER_MODE = 3 << 17
const TIMER_MODE_TSC_DEADLINE = 2 << 17

const viewOf = (page: Uint8Array): DataView => new DataView(page.buffer, page.byteOffset, page.byteLength)

export const readApic = (page: Uint8Array, register: number): number => viewOf(page).getUint32(register, true)

/** A copy of the page with one register changed. */
export const withApic = (page: Uint8Array, register: number, value: number): Uint8Array => {
  const copy = page.slice()
  viewOf(copy).setUint32(register, value, true)
  return copy
}

/** True where the timer interrupts at IA32_TSC_DEADLINE. */
export const usesTscDeadline = (page: Uint8Array): boolean =>
  (readApic(page, APIC_LVT_TIMER) & TIMER_MODE) === TIMER_MODE_TSC_DEADLINE
