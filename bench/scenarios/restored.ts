/** The prepared guest, brought back step by step; what several scenarios start from. */
import { closeSync, openSync } from "node:fs"
import { restoreVcpu, restoreVm } from "../../src/machine/kvm/save-restore.ts"
import type { NativeVm, NativeVmOptions } from "../../src/native.ts"
import type { Context } from "../scenario.ts"

export const createVm = ({ native }: Context, handlers: Partial<NativeVmOptions> = {}): NativeVm =>
  native.createVm("/dev/kvm", { vcpuCount: 1, onAccess: () => {}, onStop: () => {}, ...handlers })

/** Maps the guest's memory privately from its file and gives it to `vm`. */
export const giveMemory = ({ native, inputs }: Context, vm: NativeVm) => {
  const fd = openSync(inputs.memoryPath, "r")
  const memory = native.mapMemory(inputs.memoryBytes, { kind: "file", fd, offset: 0 })
  closeSync(fd)
  vm.setMemoryRegion({ slot: 0, guestAddress: 0, memory, offset: 0, size: memory.size })
  return memory
}

export const setState = ({ inputs }: Context, vm: NativeVm): void => {
  restoreVcpu(vm, 0, inputs.vcpu)
  restoreVm(vm, inputs.vm)
}
