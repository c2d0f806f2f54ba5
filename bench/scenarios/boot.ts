import { MicroVm } from "../../src/index.ts"
import { now, type Scenario } from "../scenario.ts"

export const boot: Scenario = {
  name: "boot",
  description: "the embedded Linux guest, from nothing to its agent's first answer",
  maximumRuns: 3, // it takes seconds, most of them the guest's own
  run: async ({ memoryMib }) => {
    const start = now()
    await using vm = await MicroVm.create({ memoryMib })
    const created = now()
    await vm.start()
    await vm.guest.ready({ timeoutMs: 150_000 })
    const answered = now()
    return { create: created - start, "first answer": answered - created, total: answered - start }
  },
}
