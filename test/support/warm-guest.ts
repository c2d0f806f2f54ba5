/**
 * A booted Linux guest, as a snapshot that whole tests restore instead of booting each time.
 *
 * The first test file that needs it boots the embedded guest once and saves it into the system's temporary directory,
 * under a name made of everything the snapshot depends on: the compiled library, the addon and the guest. Others, in
 * their own processes, wait for it.
 */
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { MicroVm, type MicroVmConfig } from "../../src/index.ts"

export interface WarmGuestOptions {
  readonly memoryMib?: number
  readonly vcpus?: number
  readonly devices?: MicroVmConfig["devices"]
}

const root = fileURLToPath(new URL("../../../", import.meta.url))

const filesUnder = (dir: string): string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()

const fingerprint = (): string => {
  const hash = createHash("sha256")
  const sources = [...filesUnder(join(root, "dist/src")), join(root, "native/build/cryovm.node")]
  for (const path of [...sources, join(root, "fixtures/guest/guest.json")]) {
    if (!path.endsWith(".d.ts")) hash.update(readFileSync(path))
  }
  return hash.digest("hex").slice(0, 16)
}

/** Long enough for a guest to boot where KVM is emulated and the machine busy. */
const BOOT_LIMIT_MS = 150_000
const STALE_LOCK_MS = 200_000
/** Longer than any run of the tests. */
const STALE_SHELF_MS = 2 * 60 * 60 * 1000

const boot = async (dir: string, options: WarmGuestOptions): Promise<void> => {
  await using vm = await MicroVm.create({ memoryMib: 128, ...options })
  await vm.start()
  await vm.guest.ready({ timeoutMs: BOOT_LIMIT_MS })
  await vm.guest.startCounter(100)
  await vm.snapshot({ dir })
}

/** Removes what an earlier build left, so that the shelf does not grow with every change. */
const clearShelf = (shelf: string, current: string): void => {
  for (const name of readdirSync(shelf)) {
    const path = join(shelf, name)
    if (!name.startsWith(current) && ageOf(path) > STALE_SHELF_MS) rmSync(path, { recursive: true, force: true })
  }
}

const ageOf = (path: string): number => {
  try {
    return Date.now() - statSync(path).mtimeMs
  } catch {
    return 0
  }
}

/** Directory of a snapshot of a booted guest whose agent's counter ticks every 100 ms. Not to be written to. */
export const warmGuest = async (options: WarmGuestOptions = {}): Promise<string> => {
  const shelf = join(tmpdir(), `cryovm-warm-${process.getuid?.() ?? 0}`)
  mkdirSync(shelf, { recursive: true, mode: 0o700 })
  const devices = createHash("sha256")
    .update(JSON.stringify(options.devices ?? {}))
    .digest("hex")
    .slice(0, 8)
  const name = `${fingerprint()}-${options.vcpus ?? 1}cpu-${options.memoryMib ?? 128}mib-${devices}`
  const dir = join(shelf, name)
  const lock = `${dir}.lock`
  for (;;) {
    if (existsSync(join(dir, "state.cryo"))) return dir
    try {
      mkdirSync(lock)
    } catch {
      if (ageOf(lock) > STALE_LOCK_MS) rmSync(lock, { recursive: true, force: true })
      await sleep(200)
      continue
    }
    try {
      clearShelf(shelf, name.slice(0, name.indexOf("-")))
      if (!existsSync(join(dir, "state.cryo"))) await boot(dir, options)
      return dir
    } finally {
      rmSync(lock, { recursive: true, force: true })
    }
  }
}
