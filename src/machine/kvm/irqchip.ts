/** `struct kvm_irqchip` of the two 8259 interrupt controllers and of the I/O APIC (KVM_GET_IRQCHIP). */
import { IO_APIC_PINS } from "../layout.ts"
import { array, reserved, structure, u8, u32, u64 } from "./structure.ts"

export const KvmPicState = structure("kvm_pic_state", {
  lastIrr: u8,
  irr: u8,
  imr: u8,
  isr: u8,
  priorityAdd: u8,
  irqBase: u8,
  readRegSelect: u8,
  poll: u8,
  specialMask: u8,
  initState: u8,
  autoEoi: u8,
  rotateOnAutoEoi: u8,
  specialFullyNestedMode: u8,
  init4: u8,
  elcr: u8,
  elcrMask: u8,
})

/** `redirtbl` has the 64 bits of each redirection entry (82093AA datasheet, section 3.2.4). */
export const KvmIoapicState = structure("kvm_ioapic_state", {
  baseAddress: u64,
  ioregsel: u32,
  id: u32,
  irr: u32,
  pad: reserved(4),
  redirtbl: array(u64, IO_APIC_PINS),
})

/** `KVM_IRQCHIP_*`. */
export const IRQCHIP_PIC_MASTER = 0
export const IRQCHIP_PIC_SLAVE = 1
export const IRQCHIP_IOAPIC = 2

/** Bytes of the union of the chips, of which each takes the first few. */
const CHIP_SIZE = 512

export const KvmIrqchipPic = structure("kvm_irqchip", {
  chipId: u32,
  pad: reserved(4),
  pic: KvmPicState,
  unused: reserved(CHIP_SIZE - KvmPicState.size),
})

export const KvmIrqchipIoapic = structure("kvm_irqchip", {
  chipId: u32,
  pad: reserved(4),
  ioapic: KvmIoapicState,
  unused: reserved(CHIP_SIZE - KvmIoapicState.size),
})
