/**
 * The local APIC as firmware leaves it: LINT0 passes on what the 8259s raise, LINT1 raises an NMI (MultiProcessor
 * Specification 1.4, section 3.6.2.2, "Virtual Wire Mode"). It says the same as the multiprocessor table.
 */
import { APIC_LVT_LINT0, APIC_LVT_LINT1, readApic, withApic } from "../kvm/lapic-page.ts"

const DELIVERY_MODE = 7 << 8
const DELIVERY_NMI = 4 << 8
const DELIVERY_EXTINT = 7 << 8

const withDeliveryMode = (page: Uint8Array, register: number, mode: number): Uint8Array =>
  withApic(page, register, (readApic(page, register) & ~DELIVERY_MODE) | mode)

/** A copy of a fresh vCPU's APIC registers with the two pins set. */
export const bootLapic = (page: Uint8Array): Uint8Array =>
  withDeliveryMode(withDeliveryMode(page, APIC_LVT_LINT0, DELIVERY_EXTINT), APIC_LVT_LINT1, DELIVERY_NMI)
