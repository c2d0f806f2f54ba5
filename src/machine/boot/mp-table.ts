/**
 * The multiprocessor table (MultiProcessor Specification 1.4, chapter 4): which processors, which interrupt
 * controllers, and how the lines are wired. It takes the place of ACPI here.
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import { BASE_MEMORY_END, IO_APIC_ADDRESS, IO_APIC_PINS, LOCAL_APIC_ADDRESS, MP_TABLE_ADDRESS } from "../layout.ts"
import { bootStructure } from "./boot-memory.ts"

const FLOATING_POINTER_SIZE = 16
const HEADER_SIZE = 44
const PROCESSOR_SIZE = 20
/** Bus, I/O APIC and interrupt entries. */
const ENTRY_SIZE = 8

const ENTRY_PROCESSOR = 0
const ENTRY_BUS = 1
const ENTRY_IO_APIC = 2
const ENTRY_IO_INTERRUPT = 3
const ENTRY_LOCAL_INTERRUPT = 4

const SPECIFICATION_1_4 = 4
/** Version register of an integrated APIC. */
const APIC_VERSION = 0x14
const CPU_ENABLED = 1
const CPU_BOOT_PROCESSOR = 2
/** Feature flags of the processor entry: FPU and APIC on chip. */
const CPU_FEATURES = 0x201
/** Family 6, model 0, stepping 0. */
const CPU_SIGNATURE = 0x600

const INTERRUPT_INT = 0
const INTERRUPT_NMI = 1
const INTERRUPT_EXTINT = 3
const ALL_LOCAL_APICS = 0xff
const ISA_BUS = 0

const checksum = (view: DataView, start: number, length: number): number => {
  let sum = 0
  for (let at = start; at < start + length; at++) sum += view.getUint8(at)
  return -sum & 0xff
}

const writeText = (view: DataView, at: number, text: string, length: number): void => {
  for (let index = 0; index < length; index++) view.setUint8(at + index, text.charCodeAt(index) || 0x20)
}

/** Bytes of the whole: floating pointer, header and entries. */
export const mpTableSize = (vcpuCount: number): number =>
  FLOATING_POINTER_SIZE + HEADER_SIZE + vcpuCount * PROCESSOR_SIZE + (2 + IO_APIC_PINS + 2) * ENTRY_SIZE

/**
 * Writes the table for processors with the APIC ids 0 to `vcpuCount` - 1. The I/O APIC's id follows theirs.
 *
 * Every pin has an entry, with the ISA line of its own number as the source: KVM's default routing is GSI n to pin n,
 * also for the timer. ISA lines conform to edge and high, which is how virtio-mmio interrupts are raised here.
 */
export const writeMpTable = (memory: GuestMemory, vcpuCount: number): void => {
  const size = mpTableSize(vcpuCount)
  if (MP_TABLE_ADDRESS + size > BASE_MEMORY_END) throw new RangeError(`no multiprocessor table for ${vcpuCount} vCPUs`)
  const view = bootStructure(memory, MP_TABLE_ADDRESS, size)
  const ioApicId = vcpuCount

  writeText(view, 0, "_MP_", 4)
  view.setUint32(4, MP_TABLE_ADDRESS + FLOATING_POINTER_SIZE, true)
  view.setUint8(8, 1) // length in paragraphs of 16 bytes
  view.setUint8(9, SPECIFICATION_1_4)
  view.setUint8(10, checksum(view, 0, FLOATING_POINTER_SIZE))

  let at = FLOATING_POINTER_SIZE + HEADER_SIZE
  let entries = 0
  const entry = (type: number, length: number): number => {
    const start = at
    view.setUint8(start, type)
    at += length
    entries++
    return start
  }
  for (let id = 0; id < vcpuCount; id++) {
    const start = entry(ENTRY_PROCESSOR, PROCESSOR_SIZE)
    view.setUint8(start + 1, id)
    view.setUint8(start + 2, APIC_VERSION)
    view.setUint8(start + 3, CPU_ENABLED | (id === 0 ? CPU_BOOT_PROCESSOR : 0))
    view.setUint32(start + 4, CPU_SIGNATURE, true)
    view.setUint32(start + 8, CPU_FEATURES, true)
  }
  const bus = entry(ENTRY_BUS, ENTRY_SIZE)
  view.setUint8(bus + 1, ISA_BUS)
  writeText(view, bus + 2, "ISA", 6)

  const ioApic = entry(ENTRY_IO_APIC, ENTRY_SIZE)
  view.setUint8(ioApic + 1, ioApicId)
  view.setUint8(ioApic + 2, APIC_VERSION)
  view.setUint8(ioApic + 3, 1) // enabled
  view.setUint32(ioApic + 4, IO_APIC_ADDRESS, true)

  const interrupt = (type: number, kind: number, line: number, apic: number, pin: number): void => {
    const start = entry(type, ENTRY_SIZE)
    view.setUint8(start + 1, kind)
    view.setUint16(start + 2, 0, true) // polarity and trigger mode conform to the bus
    view.setUint8(start + 4, ISA_BUS)
    view.setUint8(start + 5, line)
    view.setUint8(start + 6, apic)
    view.setUint8(start + 7, pin)
  }
  for (let pin = 0; pin < IO_APIC_PINS; pin++) interrupt(ENTRY_IO_INTERRUPT, INTERRUPT_INT, pin, ioApicId, pin)
  // The 8259s reach the boot processor through LINT0; NMIs reach every processor through LINT1.
  interrupt(ENTRY_LOCAL_INTERRUPT, INTERRUPT_EXTINT, 0, 0, 0)
  interrupt(ENTRY_LOCAL_INTERRUPT, INTERRUPT_NMI, 0, ALL_LOCAL_APICS, 1)

  const header = FLOATING_POINTER_SIZE
  writeText(view, header, "PCMP", 4)
  view.setUint16(header + 4, at - header, true)
  view.setUint8(header + 6, SPECIFICATION_1_4)
  writeText(view, header + 8, "CRYOVM", 8)
  writeText(view, header + 16, "MICROVM", 12)
  view.setUint16(header + 34, entries, true)
  view.setUint32(header + 36, LOCAL_APIC_ADDRESS, true)
  view.setUint8(header + 7, checksum(view, header, at - header))
}
