import { rmSync } from "node:fs"
import { join } from "node:path"
import { MicroVm } from "../../src/index.ts"
import type { Floor } from "../floor.ts"
import { machineFloor } from "../machine-floor.ts"
import { type Context, now, type Scenario } from "../scenario.ts"

let floor: Floor | undefined

const snapshotOf = ({ folder }: Context) => join(folder, "linux")

export const linux: Scenario = {
  name: "linux",
  description: "a saved Linux guest: brought back paused, run until its agent answers, paused and saved durably",
  targets: { restore: 3 },
  prepare: async (context) => {
    await using vm = await MicroVm.create({ memoryMib: context.memoryMib })
    await vm.start()
    await vm.guest.ready({ timeoutMs: 150_000 })
    await vm.snapshot({ dir: snapshotOf(context) })
    floor = await machineFloor(context, snapshotOf(context))
  },
  run: async (context) => {
    const again = join(context.folder, "linux-again")
    const start = now()
    await using vm = await MicroVm.restore(snapshotOf(context))
    const restored = now()
    await vm.resume()
    await vm.guest.memoryInfo()
    const answered = now()
    await vm.pause()
    const paused = now()
    await vm.snapshot({ dir: again })
    const saved = now()
    rmSync(again, { recursive: true })
    return {
      restore: restored - start,
      "first answer": answered - restored,
      "restore to answer": answered - start,
      pause: paused - answered,
      save: saved - paused,
    }
  },
  runFloor: async () => floor!.measure("load"),
  finish: async () => {
    await floor?.close()
  },
}
