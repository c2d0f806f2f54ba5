/**
 * A guest from which both sides start: one vCPU that writes to a port and then loops for ever. Its state is written
 * for the C program as raw structures, one record each (`floor/floor.h`), in the order in which they have to be set.
 */
import { closeSync, ftruncateSync, openSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { capturePausedTime } from "../src/machine/kvm/paused-time.ts"
import { saveVcpu, saveVm } from "../src/machine/kvm/save-restore.ts"
import type { VcpuState } from "../src/machine/kvm/vcpu-state.ts"
import type { VmState } from "../src/machine/kvm/vm-state.ts"
import type { NativeAddon, NativeVm } from "../src/native.ts"
import { tinyGuest, x86 } from "../test/support/tiny-guest.ts"

export interface Inputs {
  readonly memoryPath: string
  readonly memoryBytes: number
  readonly msrIndices: readonly number[]
  readonly vcpu: VcpuState
  readonly vm: VmState
}

const record = (name: string, bytes: Uint8Array): Buffer => {
  const header = Buffer.alloc(24)
  header.write(name, 0, "latin1")
  header.writeUInt32LE(bytes.length, 20)
  return Buffer.concat([header, bytes, Buffer.alloc(-bytes.length & 7)])
}

/** The kernel's lists begin with the number of their entries, in eight bytes. */
const list = (entries: Uint8Array, entryBytes: number): Buffer => {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(entries.length / entryBytes, 0)
  return Buffer.concat([header, entries])
}

const msrEntryBytes = 16

/** The registers that KVM takes back as it gave them: the C program sets them all with one call. */
const settableMsrs = (vm: NativeVm, indices: readonly number[]): Uint8Array => {
  const { entries } = vm.getMsrs(0, indices)
  const refused = new Set(vm.setMsrs(0, entries))
  const kept: Uint8Array[] = []
  for (let at = 0; at < entries.length; at += msrEntryBytes) {
    const entry = entries.subarray(at, at + msrEntryBytes)
    if (!refused.has(Buffer.from(entry).readUInt32LE(0))) kept.push(entry)
  }
  return Buffer.concat(kept)
}

const rawState = (vm: NativeVm, msrIndices: readonly number[]): Buffer =>
  Buffer.concat([
    record("cpuid2", list(vm.getVcpu(0, "cpuid2"), 40)),
    ...(["mp_state", "regs", "sregs2", "xsave", "xcrs", "debugregs", "lapic"] as const).map((name) =>
      record(name, vm.getVcpu(0, name)),
    ),
    record("msrs", list(settableMsrs(vm, msrIndices), msrEntryBytes)),
    record("vcpu_events", vm.getVcpu(0, "vcpu_events")),
    record("pit2", vm.getVm("pit2")),
    record("clock", Buffer.concat([vm.getVm("clock").subarray(0, 8), Buffer.alloc(40)])),
    ...(["pic_master", "pic_slave", "ioapic"] as const).map((name) => record("irqchip", vm.getVm(name))),
  ])

/** Writes `memory.img` and `state.bin` into `folder`. */
export const prepareInputs = async (native: NativeAddon, folder: string, memoryMib: number): Promise<Inputs> => {
  const memoryBytes = memoryMib * 1024 * 1024
  const memoryPath = join(folder, "memory.img")
  const guest = tinyGuest([...x86.outAl(0x10), ...x86.spin], { ramBytes: memoryBytes })
  try {
    const { vm } = guest
    const cpuid = native.probeHost("/dev/kvm").supportedCpuid
    vm.setVcpu(0, "cpuid2", cpuid)
    const msrIndices = native.probeHost("/dev/kvm").msrIndices
    const time = capturePausedTime(vm)
    const inputs = {
      memoryPath,
      memoryBytes,
      msrIndices,
      vcpu: saveVcpu(vm, 0, msrIndices, time),
      vm: saveVm(vm, time),
    }
    writeFileSync(
      join(folder, "state.bin"),
      rawState(
        vm,
        inputs.vcpu.msrs.map(({ index }) => index),
      ),
    )
    const file = openSync(memoryPath, "w")
    ftruncateSync(file, memoryBytes)
    await guest.memory.dump(file, 0).done
    closeSync(file)
    return inputs
  } finally {
    await guest.close()
  }
}
