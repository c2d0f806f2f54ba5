import { now, type Scenario } from "../scenario.ts"
import { createVm, giveMemory, setState } from "./restored.ts"

export const restore: Scenario = {
  name: "restore",
  description: "from nothing to the first instruction of a saved guest, in this process",
  targets: { total: 3 },
  run: async (context) => {
    let reached = () => {}
    const firstAccess = new Promise<number>((resolve) => {
      reached = () => resolve(now())
    })
    const start = now()
    const vm = createVm(context, { onAccess: () => reached() })
    const created = now()
    const memory = giveMemory(context, vm)
    const mapped = now()
    setState(context, vm)
    const set = now()
    vm.resume()
    const ran = await firstAccess
    const closing = now()
    await vm.close()
    memory.close()
    return {
      create: created - start,
      memory: mapped - created,
      state: set - mapped,
      "first instruction": ran - set,
      total: ran - start,
      close: now() - closing,
    }
  },
  runFloor: ({ floor }) => floor.measure("restore"),
}
