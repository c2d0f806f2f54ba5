/** Where the snapshots of a session go. */
import { lstat } from "node:fs/promises"
import { resolve } from "node:path"
import { type MicroVm, SnapshotExists, type SnapshotInfo } from "../../index.ts"
import { formatBytes, formatDuration } from "../output/format.ts"
import { ProgressBar } from "../output/progress-bar.ts"

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  )

/** `cryovm-20260131-120000`, in local time. */
export const defaultName = (now: Date): string => {
  const two = (value: number) => String(value).padStart(2, "0")
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`
  return `cryovm-${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`
}

export class SnapshotTarget {
  readonly #dir: string | undefined
  readonly #overwrite: boolean
  /** What this session wrote itself may always be written again. */
  readonly #written = new Set<string>()

  constructor(dir: string | undefined, overwrite = false) {
    this.#dir = dir
    this.#overwrite = overwrite
  }

  /** Whether the session is to end with a snapshot. */
  get onExit(): boolean {
    return this.#dir !== undefined
  }

  /**
   * Finds out now what would come out only when the guest has done its work.
   * @throws SnapshotExists
   */
  async check(): Promise<void> {
    if (this.#dir === undefined || this.#overwrite || !(await exists(this.#dir))) return
    const path = resolve(this.#dir)
    throw new SnapshotExists({
      message: `there is something at ${path} already; --overwrite replaces a snapshot`,
      path,
    })
  }

  /** Saves the machine, with a progress bar on a terminal. @param dir another place than the session's own */
  async save(
    vm: MicroVm,
    signal: AbortSignal,
    dir: string = this.#dir ?? defaultName(new Date()),
  ): Promise<SnapshotInfo> {
    const path = resolve(dir)
    const overwrite = this.#overwrite || this.#written.has(path)
    using progress = new ProgressBar("saving")
    const info = await vm.snapshot({ dir: path, overwrite, onProgress: progress.onProgress, signal })
    this.#written.add(path)
    return info
  }
}

/** One line about a snapshot that was written. */
export const savedText = ({ dir, writtenBytes, memoryBytes, milliseconds }: SnapshotInfo): string => {
  const paused = milliseconds.paused === 0 ? "" : `, the guest paused for ${formatDuration(milliseconds.paused)} of it`
  return `saved to ${dir}: ${formatBytes(writtenBytes)} of ${formatBytes(memoryBytes)} memory, ${formatDuration(milliseconds.total)}${paused}`
}
