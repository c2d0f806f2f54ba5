import { join } from "node:path"
import { MicroVm } from "../../src/index.ts"
import type { Floor } from "../floor.ts"
import { machineFloor } from "../machine-floor.ts"
import { now, type Scenario } from "../scenario.ts"

/** What the guest's agent says on the console when it is up. */
const READY_LINE = "cryovm guest ready"

let floor: Floor | undefined

const untilReady = async (vm: MicroVm): Promise<number> => {
  let text = ""
  for await (const piece of vm.console.output) {
    text += Buffer.from(piece).toString("latin1")
    if (text.includes(READY_LINE)) return now()
  }
  throw new Error(`the guest ended without "${READY_LINE}": ${text}`)
}

export const boot: Scenario = {
  name: "boot",
  description: "the embedded Linux guest, from nothing to its agent's first answer; C has a serial port only",
  maximumRuns: 3, // it takes seconds, most of them the guest's own
  prepare: async (context) => {
    const snapshot = join(context.folder, "boot")
    await using vm = await MicroVm.create({ memoryMib: context.memoryMib })
    // Paused again before it has done more than a few instructions.
    await vm.start()
    await vm.pause()
    await vm.snapshot({ dir: snapshot })
    floor = await machineFloor(context, snapshot)
  },
  run: async ({ memoryMib }) => {
    const start = now()
    await using vm = await MicroVm.create({ memoryMib })
    const created = now()
    await vm.start()
    const ready = await untilReady(vm)
    await vm.guest.ready({ timeoutMs: 150_000 })
    const answered = now()
    return {
      create: created - start,
      "ready line": ready - created,
      "first answer": answered - created,
      total: answered - start,
    }
  },
  runFloor: async () => floor!.measure("boot", READY_LINE),
  finish: async () => {
    await floor?.close()
  },
}
