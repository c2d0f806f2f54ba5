/** A machine that cryovm saved, for the C program: its state out of the snapshot, and the snapshot's own memory file. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { openSnapshot } from "../src/snapshot/restore/open.ts"
import { type Floor, startFloor } from "./floor.ts"
import { floorState } from "./floor-state.ts"
import type { Context } from "./scenario.ts"

/** Starts the program on the machine saved in the directory `snapshot`, of one vCPU and one region of memory. */
export const machineFloor = async ({ native }: Context, snapshot: string): Promise<Floor> => {
  const { manifest, state } = await Effect.runPromise(Effect.scoped(openSnapshot(snapshot)))
  const [region, ...others] = manifest.memory.regions
  if (region?.fileOffset !== 0 || others.length > 0) throw new Error("the floor can only take one region of memory")
  const folder = `${snapshot}-floor`
  mkdirSync(folder)
  symlinkSync(join(snapshot, "memory.img"), join(folder, "memory.img"))
  const records = await floorState(native, state.vcpus[0]!, state.vm, region.size)
  writeFileSync(join(folder, "state.bin"), records)
  return startFloor(folder)
}
