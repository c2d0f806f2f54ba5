/** The files of a snapshot with their sizes. */
import { readdir, stat } from "node:fs/promises"
import { join } from "node:path"

/** Of `st_blocks`, whatever the file system's own blocks are. */
const STAT_BLOCK = 512

export interface FileSize {
  readonly name: string
  /** Apparent size, holes and all. */
  readonly bytes: number
  readonly diskBytes: number
}

export const fileSizes = async (dir: string): Promise<readonly FileSize[]> => {
  const names = (await readdir(dir)).sort()
  return Promise.all(
    names.map(async (name) => {
      const { size, blocks } = await stat(join(dir, name))
      return { name, bytes: size, diskBytes: blocks * STAT_BLOCK }
    }),
  )
}
