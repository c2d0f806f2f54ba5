import { closeSync, fdatasyncSync, ftruncateSync, openSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { now, type Scenario } from "../scenario.ts"

const pageBytes = 4096

export const dump: Scenario = {
  name: "dump",
  description: "guest memory into a file: a quarter is data, an eighth touched but zero, the rest never touched",
  run: async ({ native, memoryMib, folder }) => {
    const size = memoryMib * 1024 * 1024
    const memory = native.mapMemory(size, { kind: "anonymous" })
    // As in floor/dump.c.
    const touched = new Uint8Array(memory.window(0, size / 4 + size / 8))
    touched.fill(0xa5, 0, size / 4)
    for (let at = size / 4; at < touched.length; at += pageBytes) touched[at] = 0
    const path = join(folder, "dump.img")
    const file = openSync(path, "w+")
    ftruncateSync(file, size)
    const start = now()
    await memory.dump(file, 0).done
    const written = now()
    // What the dump has already started to write back is not left for here.
    fdatasyncSync(file)
    const durable = now()
    closeSync(file)
    unlinkSync(path)
    memory.close()
    return { dump: written - start, durable: durable - start }
  },
  runFloor: ({ floor, folder, memoryMib }) => floor.measure(`dump ${join(folder, "floor-dump.img")} ${memoryMib}`),
}
