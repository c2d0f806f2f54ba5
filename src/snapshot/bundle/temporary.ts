/**
 * The temporary directories beside a snapshot: their names, and what becomes of those that a killed writer left.
 *
 * `.<name>.cryovm-<pid>-<16 hex digits>` is being written; the same with `.old` is a snapshot moved aside by an
 * overwrite. The first eight digits stand for the boot and the process id namespace of the writer: only a writer of
 * the same ones can be looked up by its process id.
 */
import { createHash, randomBytes } from "node:crypto"
import { readFileSync, readlinkSync } from "node:fs"
import { lstat, readdir, rename, rm } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { pathExists } from "fs-extra/esm"

/** A temporary directory of a writer that cannot be looked up is stale when unchanged for this long. */
export const STALE_AFTER_MILLISECONDS = 60 * 60 * 1000

const NAME = /^\.(?<name>.+)\.cryovm-(?<pid>[1-9][0-9]*)-(?<place>[0-9a-f]{8})[0-9a-f]{8}(?<old>\.old)?$/s

const tryRead = (read: () => string): string => {
  try {
    return read()
  } catch {
    return ""
  }
}

let place: string | undefined

/** Eight hex digits that differ between boots, hosts and process id namespaces. */
const writerPlace = (): string => {
  place ??= createHash("sha256")
    .update(tryRead(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8")))
    .update(tryRead(() => readlinkSync("/proc/self/ns/pid")))
    .digest("hex")
    .slice(0, 8)
  return place
}

/** A name beside `target` that nobody else uses. */
export const temporaryPath = (target: string): string => {
  const random = `${writerPlace()}${randomBytes(4).toString("hex")}`
  return join(dirname(target), `.${basename(target)}.cryovm-${process.pid}-${random}`)
}

/** Whether a name is one of a writer's, and what has it may be unfinished, or about to go. */
export const isTemporaryName = (name: string): boolean => NAME.test(name)

/** Where an overwrite puts the old snapshot for the moment. */
export const asidePath = (temporary: string): string => `${temporary}.old`

/** Removes a directory with all in it; does nothing where there is none. Not through symbolic links. */
export const removeTree = (path: string): Promise<void> =>
  // A write that was still under way on a thread may add a file meanwhile: hence the retries.
  rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code !== "ESRCH"
  }
}

/** When anything in a directory last changed, in milliseconds since 1970. */
const lastChange = async (path: string): Promise<number> => {
  const paths = [path, ...(await readdir(path)).map((name) => join(path, name))]
  const times = await Promise.all(paths.map(async (each) => (await lstat(each)).ctimeMs))
  return Math.max(...times)
}

const isStale = async (path: string, writer: { readonly pid: number; readonly place: string }, now: number) =>
  writer.place === writerPlace() ? !isAlive(writer.pid) : now - (await lastChange(path)) > STALE_AFTER_MILLISECONDS

/**
 * Clears what killed writers left in `parent`: removes stale temporary directories, and puts an old snapshot back
 * under its name where an overwrite was cut off between moving it aside and moving the new one in. Leaves alone
 * whatever it cannot read, remove or be sure of.
 *
 * A writer of this boot and process id namespace is stale when its process is gone; any other one when nothing in its
 * directory has changed for {@link STALE_AFTER_MILLISECONDS}.
 * @param now milliseconds since 1970
 */
export const sweepTemporaries = async (parent: string, now: number = Date.now()): Promise<void> => {
  const entries = await readdir(parent, { withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    const { name, pid, place, old } = NAME.exec(entry.name)?.groups ?? {}
    if (!entry.isDirectory() || name === undefined || pid === undefined || place === undefined) continue
    const path = join(parent, entry.name)
    try {
      if (!(await isStale(path, { pid: Number(pid), place }, now))) continue
      if (old !== undefined && !(await pathExists(join(parent, name)))) await rename(path, join(parent, name))
      else await removeTree(path)
    } catch {
      // Gone meanwhile, or not ours to remove.
    }
  }
}
