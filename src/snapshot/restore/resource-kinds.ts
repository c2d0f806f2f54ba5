/**
 * The kinds of files and the like outside of a snapshot that its machine needs, and what each has to be to be of use.
 */
import { constants } from "node:fs"
import { access, lstat, readFile, stat } from "node:fs/promises"
import { connect } from "node:net"
import { dirname, isAbsolute, join } from "node:path"
import { errnoNameOf } from "../bundle/bundle.ts"
import { type FileFact, factOf } from "./file-fact.ts"

/** What became of looking at a resource. */
export interface ResourceLook {
  /** Why it cannot be used; `undefined` where it can. */
  readonly problem?: string
  /** Where it is a regular file, or should be one. */
  readonly file?: FileFact
}

/** Looks at a resource by its path, which is not used otherwise; it may come from a hostile snapshot. */
export type LookAtResource = (path: string) => Promise<ResourceLook>

const usable: ResourceLook = {}
const refused = (problem: string): ResourceLook => ({ problem })

const notAbsolute = refused("it is not an absolute path")

/** Anything that a system call refuses to look at. */
const unreadable = (cause: unknown): ResourceLook => {
  const errnoName = errnoNameOf(cause)
  return refused(errnoName === "" ? "it is no path" : `it cannot be looked at (${errnoName})`)
}

const isAbsent = (cause: unknown): boolean => ["ENOENT", "ENOTDIR"].includes(errnoNameOf(cause))

/** A disk image: a regular file or a block device that may be read. */
const lookAtDisk: LookAtResource = async (path) => {
  if (!isAbsolute(path)) return notAbsolute
  try {
    const stats = await stat(path)
    if (!stats.isFile() && !stats.isBlockDevice()) return refused("it is neither a regular file nor a block device")
    await access(path, constants.R_OK)
    return stats.isFile() ? { file: factOf(stats) } : usable
  } catch (cause) {
    return isAbsent(cause) ? { problem: "it is not there", file: "missing" } : unreadable(cause)
  }
}

/** Bytes of `sun_path` in `struct sockaddr_un`, the last of which is zero. */
const SUN_PATH_BYTES = 108

/** The errno of connecting to a socket; empty where somebody answered. */
const connectError = (path: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect({ path })
    socket.once("connect", () => {
      socket.destroy()
      resolve("")
    })
    socket.once("error", (cause) => resolve(errnoNameOf(cause)))
  })

const lookAtSocketFile: LookAtResource = async (path) => {
  try {
    if (!(await lstat(path)).isSocket()) return refused("something that is no socket is there")
  } catch (cause) {
    return isAbsent(cause) ? usable : unreadable(cause)
  }
  // Only a socket that nobody listens on refuses; whoever made it is gone.
  if ((await connectError(path)) === "ECONNREFUSED") return usable
  return refused("another process uses the socket that is there")
}

/** A Unix socket that a device will make: its directory is there, and nothing but a socket that is left over. */
const lookAtSocket: LookAtResource = async (path) => {
  if (!isAbsolute(path)) return notAbsolute
  const bytes = Buffer.byteLength(path)
  if (bytes >= SUN_PATH_BYTES) {
    return refused(`it has ${bytes} bytes, and the path of a socket ${SUN_PATH_BYTES - 1} at most`)
  }
  try {
    if (!(await stat(dirname(path))).isDirectory()) return refused("its parent is no directory")
  } catch (cause) {
    return isAbsent(cause) ? refused("its parent directory is not there") : unreadable(cause)
  }
  return lookAtSocketFile(path)
}

/** `IFNAMSIZ`, with the zero at the end. */
const INTERFACE_NAME_BYTES = 16
/** `IFF_TAP` of `linux/if_tun.h`. */
const IFF_TAP = 2

/**
 * A tap interface that exists, by its name.
 * @param interfaces directory of what the kernel tells of its network interfaces
 */
export const lookAtTap =
  (interfaces = "/sys/class/net"): LookAtResource =>
  async (name) => {
    if (Buffer.byteLength(name) >= INTERFACE_NAME_BYTES) {
      return refused(`the name of an interface has ${INTERFACE_NAME_BYTES - 1} bytes at most`)
    }
    if (!/^[^\s/:\0]+$/.test(name) || name === "." || name === "..")
      return refused("it is not the name of an interface")
    const directory = join(interfaces, name)
    try {
      await stat(directory)
      const flags = Number(await readFile(join(directory, "tun_flags"), "utf8").catch(() => "0"))
      return (flags & IFF_TAP) === 0 ? refused("the interface is not a tap") : usable
    } catch (cause) {
      return isAbsent(cause) ? refused("there is no interface of that name") : unreadable(cause)
    }
  }

/** Every kind that this release knows. */
export const resourceKinds: ReadonlyMap<string, LookAtResource> = new Map([
  ["disk", lookAtDisk],
  ["socket", lookAtSocket],
  ["tap", lookAtTap()],
])
