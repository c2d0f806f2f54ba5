import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { MicroVm } from "../../src/index.ts"
import { openSnapshot } from "../../src/snapshot/open.ts"
import { type Floor, startFloor } from "../floor.ts"
import { floorState } from "../floor-state.ts"
import { type Context, now, type Scenario } from "../scenario.ts"

let floor: Floor | undefined

const snapshotOf = ({ folder }: Context) => join(folder, "linux")

/** The same machine for the C program: the state out of the snapshot, and the snapshot's own memory file. */
const prepareFloor = async (context: Context): Promise<Floor> => {
  const snapshot = snapshotOf(context)
  const { manifest, state } = await Effect.runPromise(Effect.scoped(openSnapshot(snapshot)))
  const [region, ...others] = manifest.memory.regions
  if (region?.fileOffset !== 0 || others.length > 0) throw new Error("the floor can only take one region of memory")
  const folder = join(context.folder, "linux-floor")
  mkdirSync(folder)
  symlinkSync(join(snapshot, "memory.img"), join(folder, "memory.img"))
  const records = await floorState(context.native, state.vcpus[0]!, state.vm, region.size)
  writeFileSync(join(folder, "state.bin"), records)
  return startFloor(folder)
}

export const linux: Scenario = {
  name: "linux",
  description: "a saved Linux guest: brought back paused, run until its agent answers, paused and saved durably",
  targets: { restore: 3 },
  prepare: async (context) => {
    await using vm = await MicroVm.create({ memoryMib: context.memoryMib })
    await vm.start()
    await vm.guest.ready({ timeoutMs: 150_000 })
    await vm.snapshot({ dir: snapshotOf(context) })
    floor = await prepareFloor(context)
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
