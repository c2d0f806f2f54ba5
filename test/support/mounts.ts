/** Small file systems of a test's own. Mounting needs root; where it is not allowed such tests are skipped and counted. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const mount = (options: string, at: string): boolean =>
  spawnSync("mount", ["-t", "tmpfs", "-o", options, "cryovm-test", at]).status === 0

/** A tmpfs with the given mount options (`size=4m`), gone at the end of its `using`. */
export const smallFileSystem = (options: string) => {
  const path = mkdtempSync(join(tmpdir(), "cryovm-mount-"))
  if (!mount(options, path)) {
    rmdirSync(path)
    throw new Error(`cannot mount a tmpfs with ${options}`)
  }
  return {
    path,
    remount: (changed: string): void => {
      const { status, stderr } = spawnSync("mount", ["-o", `remount,${changed}`, path])
      if (status !== 0) throw new Error(String(stderr))
    },
    [Symbol.dispose]: (): void => {
      spawnSync("umount", ["-l", path])
      rmSync(path, { recursive: true, force: true })
    },
  }
}

/** Whether this process may mount. */
export const canMount = (): boolean => {
  try {
    using _probe = smallFileSystem("size=64k")
    return true
  } catch {
    return false
  }
}
