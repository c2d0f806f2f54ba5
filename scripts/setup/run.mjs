import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

/** The checkout, with no slash at its end. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")

/** Something the user can put right: printed without a stack. */
export class SetupFailure extends Error {}

/**
 * Runs a command in the checkout and keeps its output back, unless it fails.
 * @throws SetupFailure with everything the command printed
 */
export const run = (what, command, args) => {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    encoding: "utf8",
    maxBuffer: 1 << 28,
  })
  if (result.status === 0) return result.stdout
  const output = [result.stdout, result.stderr, result.error?.message].filter(Boolean).join("\n").trimEnd()
  const end = result.signal ? `ended by ${result.signal}` : `exit code ${result.status}`
  throw new SetupFailure(`${what} failed (${command} ${args.join(" ")}: ${end})\n${output}`)
}
