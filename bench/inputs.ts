/** A guest from which both sides start: one vCPU that writes to a port once and then loops for ever. */
import { closeSync, ftruncateSync, openSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { capturePausedTime } from "../src/machine/kvm/paused-time.ts"
import { saveVcpu, saveVm } from "../src/machine/kvm/save-restore.ts"
import type { VcpuState } from "../src/machine/kvm/vcpu-state.ts"
import type { VmState } from "../src/machine/kvm/vm-state.ts"
import type { NativeAddon } from "../src/native.ts"
import { tinyGuest, x86 } from "../test/support/tiny-guest.ts"
import { floorState } from "./floor-state.ts"

export interface Inputs {
  readonly memoryPath: string
  readonly memoryBytes: number
  readonly msrIndices: readonly number[]
  readonly vcpu: VcpuState
  readonly vm: VmState
}

/** Writes `memory.img` and `state.bin` into `folder`. */
export const prepareInputs = async (native: NativeAddon, folder: string, memoryMib: number): Promise<Inputs> => {
  const memoryBytes = memoryMib * 1024 * 1024
  const memoryPath = join(folder, "memory.img")
  const { supportedCpuid, msrIndices } = native.probeHost("/dev/kvm")
  const guest = tinyGuest([...x86.outAl(0x10), ...x86.spin], { ramBytes: memoryBytes })
  try {
    guest.vm.setVcpu(0, "cpuid2", supportedCpuid)
    const time = capturePausedTime(guest.vm)
    const vcpu = saveVcpu(guest.vm, 0, msrIndices, time)
    const vm = saveVm(guest.vm, time)
    const file = openSync(memoryPath, "w")
    ftruncateSync(file, memoryBytes)
    await guest.memory.dump(file, 0).done
    closeSync(file)
    writeFileSync(join(folder, "state.bin"), await floorState(native, vcpu, vm, memoryBytes))
    return { memoryPath, memoryBytes, msrIndices, vcpu, vm }
  } finally {
    await guest.close()
  }
}
