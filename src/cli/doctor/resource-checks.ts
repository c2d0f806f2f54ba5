/** Memory, disk space and the limits of the system. */
import { constants } from "node:fs"
import { access, readFile, statfs } from "node:fs/promises"
import { tmpdir } from "node:os"
import { formatBytes } from "../output/format.ts"
import { type Check, check, messageOf } from "./check.ts"

const MIB = 2 ** 20
/** A guest of the default 128 MiB, touched throughout, and the process around it. */
const NEEDED_MEMORY = 256 * MIB
/** A snapshot of such a guest. */
const NEEDED_DISK = 256 * MIB
/** The kernel's own default. */
const USUAL_MAP_COUNT = 65_530
const USUAL_OPEN_FILES = 1024
/** `f_type` of tmpfs, linux/magic.h. */
const TMPFS_MAGIC = 0x01021994

export const checkMemory = (): Check => {
  const free = process.availableMemory()
  return check("memory", "free memory", free >= NEEDED_MEMORY, formatBytes(free), {
    remedy: `end other programs, or give the container more: a guest of 128 MiB needs ${formatBytes(NEEDED_MEMORY)}`,
    otherwise: "warning",
    value: free,
  })
}

const checkSpace = async (id: string, title: string, path: string): Promise<Check> => {
  try {
    const { bavail, bsize, type } = await statfs(path)
    await access(path, constants.W_OK)
    const free = bavail * bsize
    const inMemory = type === TMPFS_MAGIC ? "; it is a tmpfs, so snapshots in it take memory" : ""
    return check(id, title, free >= NEEDED_DISK, `${formatBytes(free)} free in ${path}${inMemory}`, {
      remedy: `free some space: a snapshot takes up to the guest's memory`,
      otherwise: "warning",
      value: free,
    })
  } catch (error) {
    return check(id, title, false, messageOf(error), {
      remedy: `make ${path} writable, or ${id === "tmpdir" ? "set TMPDIR to another directory" : "use another directory"}`,
      otherwise: "warning",
    })
  }
}

const numberIn = async (path: string, pattern: RegExp): Promise<number | undefined> => {
  const found = pattern.exec(await readFile(path, "utf8").catch(() => ""))?.[1]
  if (found === undefined) return undefined
  return found === "unlimited" ? Number.POSITIVE_INFINITY : Number(found)
}

const checkLimit = async (
  id: string,
  title: string,
  { path, pattern, usual, remedy }: { path: string; pattern: RegExp; usual: number; remedy: string },
): Promise<Check> => {
  const value = await numberIn(path, pattern)
  if (value === undefined) return check(id, title, false, `${path} does not tell`, { otherwise: "warning" })
  const detail = Number.isFinite(value) ? `${value}` : "unlimited"
  return check(id, title, value >= usual, `${detail}${value >= usual ? "" : `; ${usual} is usual`}`, {
    remedy,
    otherwise: "warning",
    ...(Number.isFinite(value) ? { value } : {}),
  })
}

export const checkResources = (): Promise<readonly Check[]> =>
  Promise.all([
    checkMemory(),
    checkSpace("tmpdir", "temporary directory", tmpdir()),
    checkSpace("cwd", "working directory", process.cwd()),
    checkLimit("maxMapCount", "vm.max_map_count", {
      path: "/proc/sys/vm/max_map_count",
      pattern: /^(\d+)/,
      usual: USUAL_MAP_COUNT,
      remedy: `sysctl -w vm.max_map_count=${USUAL_MAP_COUNT}: many guests in one process need many mappings`,
    }),
    checkLimit("openFiles", "open files (ulimit -n)", {
      path: "/proc/self/limits",
      pattern: /^Max open files\s+(\S+)/m,
      usual: USUAL_OPEN_FILES,
      remedy: `ulimit -n ${USUAL_OPEN_FILES}: every guest takes a dozen or so`,
    }),
  ])
