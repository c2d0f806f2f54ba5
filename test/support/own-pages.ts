/** The pages that memory from a file has of its own. */
import type { NativeMemory } from "../../src/native.ts"
import { zeros } from "./laid-files.ts"
import { page } from "./memory-files.ts"

/** Their numbers in order, and of which of them it is said that they are zero. */
export const ownPages = async (memory: NativeMemory): Promise<ReadonlyMap<number, "zeros" | "data">> => {
  const { runs } = await memory.dumpDiff(null, 0, { candidates: "written" }).done
  const own = new Map<number, "zeros" | "data">()
  for (let at = 0; at < runs.length; at += 4) {
    const [offset = 0, length = 0, file = 0] = runs.subarray(at)
    for (let each = 0; each < length; each += page) own.set((offset + each) / page, file === zeros ? "zeros" : "data")
  }
  return own
}

export const ownNumbers = async (memory: NativeMemory): Promise<readonly number[]> => [
  ...(await ownPages(memory)).keys(),
]
