/**
 * State of a machine as the C program wants it: the kernel's structures as they are, one record each
 * (`floor/floor.h`), in the order in which they have to be set.
 */
import { KvmClockData } from "../src/machine/kvm/clock.ts"
import { encodeCpuid } from "../src/machine/kvm/cpuid.ts"
import { KvmDebugregs } from "../src/machine/kvm/debugregs.ts"
import {
  IRQCHIP_IOAPIC,
  IRQCHIP_PIC_MASTER,
  IRQCHIP_PIC_SLAVE,
  KvmIrqchipIoapic,
  KvmIrqchipPic,
} from "../src/machine/kvm/irqchip.ts"
import { KvmMpState } from "../src/machine/kvm/mp-state.ts"
import { encodeMsrs } from "../src/machine/kvm/msrs.ts"
import { clockToSet } from "../src/machine/kvm/paused-time.ts"
import { KvmPitState2 } from "../src/machine/kvm/pit.ts"
import { KvmRegs } from "../src/machine/kvm/regs.ts"
import { restoreVcpu } from "../src/machine/kvm/save-restore.ts"
import { KvmSregs2 } from "../src/machine/kvm/sregs.ts"
import { KvmVcpuEvents } from "../src/machine/kvm/vcpu-events.ts"
import type { VcpuState } from "../src/machine/kvm/vcpu-state.ts"
import type { VmState } from "../src/machine/kvm/vm-state.ts"
import { KvmXcrs } from "../src/machine/kvm/xcrs.ts"
import type { NativeAddon } from "../src/native.ts"

const record = (name: string, bytes: Uint8Array): Buffer => {
  const header = Buffer.alloc(24)
  header.write(name, 0, "latin1")
  header.writeUInt32LE(bytes.length, 20)
  return Buffer.concat([header, bytes, Buffer.alloc(-bytes.length & 7)])
}

/** The kernel's lists begin with the number of their entries, in eight bytes. */
const list = (count: number, entries: Uint8Array): Buffer => {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(count, 0)
  return Buffer.concat([header, entries])
}

/** The registers that KVM takes back as it gave them: the C program sets them all with one call. */
const settableMsrs = async (native: NativeAddon, vcpu: VcpuState, memoryBytes: number) => {
  const vm = native.createVm("/dev/kvm", { vcpuCount: 1, onAccess: () => {}, onStop: () => {} })
  // Paravirtual registers hold addresses, and are taken only where there is memory.
  const memory = native.mapMemory(memoryBytes, { kind: "anonymous" })
  try {
    vm.setMemoryRegion({ slot: 0, guestAddress: 0, memory, offset: 0, size: memoryBytes })
    restoreVcpu(vm, 0, vcpu)
    const refused = new Set(vm.setMsrs(0, encodeMsrs(vcpu.msrs)))
    return vcpu.msrs.filter(({ index }) => !refused.has(index))
  } finally {
    await vm.close()
    memory.close()
  }
}

/** @param memoryBytes of the machine, all of it below the gap for devices */
export const floorState = async (
  native: NativeAddon,
  vcpu: VcpuState,
  vm: VmState,
  memoryBytes: number,
): Promise<Buffer> => {
  const msrs = await settableMsrs(native, vcpu, memoryBytes)
  return Buffer.concat([
    record("cpuid2", list(vcpu.cpuid.length, encodeCpuid(vcpu.cpuid))),
    record("mp_state", KvmMpState.encode(vcpu.mpState)),
    record("regs", KvmRegs.encode(vcpu.regs)),
    record("sregs2", KvmSregs2.encode(vcpu.sregs)),
    record("xsave", vcpu.xsave),
    ...(vcpu.xcrs === undefined ? [] : [record("xcrs", KvmXcrs.encode(vcpu.xcrs))]),
    record("debugregs", KvmDebugregs.encode(vcpu.debugregs)),
    record("lapic", vcpu.lapic),
    record("msrs", list(msrs.length, encodeMsrs(msrs))),
    record("vcpu_events", KvmVcpuEvents.encode(vcpu.events)),
    record("pit2", KvmPitState2.encode(vm.pit)),
    record("clock", KvmClockData.encode(clockToSet(vm.clock, false))),
    record("irqchip", KvmIrqchipPic.encode({ chipId: IRQCHIP_PIC_MASTER, pic: vm.picMaster })),
    record("irqchip", KvmIrqchipPic.encode({ chipId: IRQCHIP_PIC_SLAVE, pic: vm.picSlave })),
    record("irqchip", KvmIrqchipIoapic.encode({ chipId: IRQCHIP_IOAPIC, ioapic: vm.ioapic })),
  ])
}
