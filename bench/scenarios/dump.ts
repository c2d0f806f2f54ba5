import { closeSync, fdatasyncSync, ftruncateSync, openSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import type { NativeMemory } from "../../src/native.ts"
import { DIGEST_CHUNK_BYTES } from "../../src/snapshot/runs/memory-diff.ts"
import { PAGE_BYTES } from "../../src/snapshot/runs/runs.ts"
import { fill, MEBIBYTE, settle, touch } from "../pages.ts"
import { now, type Scenario, type Steps } from "../scenario.ts"

/** The least of its size is written and hashed in time that a target can speak of. */
const target = 1.25

/** Under this name, and with the time until all is durable. */
const dumpTo = async (path: string, name: string, memory: NativeMemory, chunkBytes?: number): Promise<Steps> => {
  const file = openSync(path, "w+")
  ftruncateSync(file, memory.size)
  const start = now()
  await memory.dump(file, 0, chunkBytes).done
  const written = now()
  // What the dump has already started to write back is not left for here.
  fdatasyncSync(file)
  const durable = now()
  closeSync(file)
  unlinkSync(path)
  return { [name]: written - start, [`${name}, durable`]: durable - start }
}

export const dump: Scenario = {
  name: "dump",
  description:
    "all of guest memory into a file: mixed (a quarter data, an eighth zero, the rest never touched), or all data; GB/s of data",
  targets: {
    mixed: target,
    "mixed, durable": target,
    "mixed, digests": target,
    "all data": target,
    "all data, durable": target,
    "all data, digests": target,
  },
  comparedWith: {
    "mixed, digests": "mixed",
    "mixed, digests, durable": "mixed, durable",
    "all data, digests": "all data",
    "all data, digests, durable": "all data, durable",
  },
  bytes: ({ memoryMib }) => {
    const all = memoryMib * MEBIBYTE
    const ends = ["", ", durable", ", digests", ", digests, durable"]
    return Object.fromEntries(
      ends.flatMap((end) => [
        [`mixed${end}`, all / 4],
        [`all data${end}`, all],
      ]),
    )
  },
  run: async ({ native, memoryMib, folder }) => {
    const size = memoryMib * MEBIBYTE
    const path = join(folder, "dump.img")
    const memory = native.mapMemory(size, { kind: "anonymous" })
    const dumpBoth = async (name: string) => ({
      ...(await dumpTo(path, name, memory)),
      ...(await dumpTo(path, `${name}, digests`, memory, DIGEST_CHUNK_BYTES)),
    })
    // As in floor/dump.c.
    fill(memory, 0, size / 4, 0xa5)
    const zeros = Array.from({ length: size / 8 / PAGE_BYTES }, (_, index) => size / 4 / PAGE_BYTES + index)
    touch(memory, zeros, 0)
    await settle()
    const mixed = await dumpBoth("mixed")
    fill(memory, 0, size, 0xa5)
    await settle()
    const full = await dumpBoth("all data")
    memory.close()
    return { ...mixed, ...full }
  },
  runFloor: ({ floor, folder, memoryMib }) => floor.measure("dump", join(folder, "floor-dump.img"), memoryMib),
}
