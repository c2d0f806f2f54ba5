import { capturePausedTime } from "../../src/machine/kvm/paused-time.ts"
import { restoreVcpu, saveVcpu } from "../../src/machine/kvm/save-restore.ts"
import { now, type Scenario } from "../scenario.ts"
import { createVm, giveMemory } from "./restored.ts"

export const state: Scenario = {
  name: "state",
  description: "the whole state of one vCPU, out of KVM and back into it",
  run: async (context) => {
    const vm = createVm(context)
    const memory = giveMemory(context, vm)
    restoreVcpu(vm, 0, context.inputs.vcpu)
    const time = capturePausedTime(vm)
    const start = now()
    const saved = saveVcpu(vm, 0, context.inputs.msrIndices, time)
    const got = now()
    restoreVcpu(vm, 0, saved)
    const set = now()
    await vm.close()
    memory.close()
    return { get: got - start, set: set - got }
  },
  runFloor: ({ floor }) => floor.measure("state"),
}
