/** Node and the machine, before anything of KVM. */
import { readFileSync } from "node:fs"
import { type Check, check, messageOf } from "./check.ts"

const description = JSON.parse(readFileSync(new URL("../../../../package.json", import.meta.url), "utf8")) as {
  readonly engines: { readonly node: string }
}

/** Whether `version` is `minimum` or later, number by number. */
export const isAtLeast = (version: string, minimum: string): boolean => {
  const parts = version.split(".").map(Number)
  for (const [index, wanted] of minimum.split(".").map(Number).entries()) {
    const part = parts[index] ?? 0
    if (part !== wanted) return part > wanted
  }
  return true
}

export const checkNode = (): Check => {
  const minimum = description.engines.node.replace(">=", "")
  const { node } = process.versions
  return check("node", "Node.js", isAtLeast(node, minimum), `${node}; ${minimum} or later is needed`, {
    remedy: `install Node.js ${minimum} or later`,
  })
}

export const checkPlatform = (): Check => {
  const { platform, arch } = process
  return check("platform", "platform", platform === "linux" && arch === "x64", `${platform} ${arch}`, {
    remedy: "use a Linux x64 machine, with Node.js for x64: the snapshots are of x86-64 guests on KVM",
  })
}

export const checkAddon = async (): Promise<Check> => {
  try {
    const { loadNative } = await import("../../native.ts")
    loadNative()
    return check("addon", "native addon", true, "loads")
  } catch (error) {
    return check("addon", "native addon", false, messageOf(error), {
      remedy: "install the package again, or build it with a C++ compiler: node scripts/build-native.mjs",
    })
  }
}
