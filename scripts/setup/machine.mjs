/** What the machine must have: a Linux x64 with a recent Node, a C++ compiler, make and a few headers. */

import { spawnSync } from "node:child_process"
import { accessSync, constants, existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { root, SetupFailure } from "./run.mjs"

const versionParts = (text) => text.split(".").map(Number)

const isOlder = (version, minimum) => {
  const parts = versionParts(version)
  for (const [index, wanted] of versionParts(minimum).entries()) {
    const part = parts[index] ?? 0
    if (part !== wanted) return part < wanted
  }
  return false
}

export const checkPlatform = () => {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new SetupFailure(`cryovm runs on Linux x64 (KVM); this is ${process.platform} ${process.arch}`)
  }
  const { engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  const minimum = engines.node.replace(">=", "")
  if (isOlder(process.versions.node, minimum)) {
    throw new SetupFailure(`cryovm needs Node ${minimum} or newer; this is ${process.versions.node}`)
  }
}

const isCommand = (name) =>
  (process.env.PATH ?? "").split(":").some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

const headers = ["/usr/include/linux/kvm.h", "/usr/include/xxhash.h"]

const missingTools = () => [
  // A compiler named by CXX is the user's own affair.
  ...[...(process.env.CXX ? [] : ["g++"]), "make"].filter((name) => !isCommand(name)),
  ...headers.filter((path) => !existsSync(path)),
]

/**
 * Sees to it that g++, make and the headers are there. As root on Debian or Ubuntu it installs them, since "npm test"
 * has to work as the first command on a fresh machine; elsewhere it names the remedy.
 */
export const ensureToolchain = () => {
  const missing = missingTools()
  if (missing.length === 0) return
  const script = "scripts/install-debian-packages.sh"
  if (process.getuid?.() !== 0 || !isCommand("apt-get")) {
    const remedy = isCommand("apt-get") ? `run "sudo ${script}"` : "install them with the system's package manager"
    throw new SetupFailure(`the native addon needs ${missing.join(" and ")}: ${remedy}, then try again`)
  }
  console.error(`setup: ${missing.join(" and ")} missing: running ${script}`)
  const result = spawnSync("bash", [script], { cwd: root, stdio: ["ignore", 2, 2] })
  if (result.status !== 0 || missingTools().length > 0) {
    throw new SetupFailure(`${script} did not bring ${missingTools().join(" and ")}`)
  }
}
