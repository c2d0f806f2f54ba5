import { setTimeout as sleep } from "node:timers/promises"
import { now, type Scenario } from "../scenario.ts"
import { createVm, giveMemory, setState } from "./restored.ts"

const rounds = 20

export const pause: Scenario = {
  name: "pause",
  description: "from asking a busy vCPU to stop to knowing that it has",
  run: async (context) => {
    let parked = () => {}
    const vm = createVm(context, { onStop: () => parked() })
    const memory = giveMemory(context, vm)
    setState(context, vm)
    let sum = 0
    for (let round = 0; round < rounds; round++) {
      vm.resume()
      await sleep(2)
      const stopped = new Promise<void>((resolve) => {
        parked = resolve
      })
      const start = now()
      vm.pause()
      await stopped
      sum += now() - start
    }
    await vm.close()
    memory.close()
    return { pause: sum / rounds }
  },
  runFloor: ({ floor }) => floor.measure("pause"),
}
