/**
 * Makes a checkout ready to run: dependencies, the native addon, the compiled TypeScript.
 *
 * Every step asks first whether its result is up to date, so that running this again costs a fraction of a second.
 * It uses nothing but Node, for it runs before anything is installed.
 *
 *   node scripts/setup.mjs                        what "npm test", "npm run demo" and "npm run bench" do first
 *   node scripts/setup.mjs --dependencies         the dependencies only
 *   node scripts/setup.mjs --release              the release addon in prebuilds/ too (what "npm pack" does first)
 *   node scripts/setup.mjs --tolerate-type-errors  prints type errors and goes on with what was emitted
 */

import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { compile, isCompiled } from "./setup/compile.mjs"
import { areDependenciesInstalled, installDependencies } from "./setup/dependencies.mjs"
import { checkPlatform, ensureToolchain } from "./setup/machine.mjs"
import { root, run, SetupFailure } from "./setup/run.mjs"

const flags = new Set(process.argv.slice(2))
const release = flags.delete("--release")
const dependenciesOnly = flags.delete("--dependencies")
const tolerateTypeErrors = flags.delete("--tolerate-type-errors")
const locked = flags.delete("--locked")

/** `make` itself knows whether the addon is up to date, and tells in some ten milliseconds. */
const buildAddon = () => {
  ensureToolchain()
  if (!existsSync(join(root, "native/build"))) console.error("setup: building the native addon")
  run("the native addon", process.execPath, ["scripts/build-native.mjs", ...(release ? ["--release"] : [])])
}

const setup = () => {
  if (flags.size > 0) throw new SetupFailure(`unknown option ${[...flags].join(" ")}`)
  checkPlatform()
  // "npm test" beside "npm run demo" must not build into the same folders at once: the work is done by a second
  // process under a lock, and whoever comes later finds it done. The kernel drops a flock when its holder dies, so it
  // is never stale.
  if (!locked) {
    const result = spawnSync(
      "flock",
      [root, process.execPath, fileURLToPath(import.meta.url), "--locked", ...process.argv.slice(2)],
      {
        stdio: "inherit",
      },
    )
    if (result.error === undefined) {
      process.exitCode = result.status ?? 1
      return
    }
    if (result.error.code !== "ENOENT") throw result.error
    console.error("setup: no flock (util-linux) here: going on without a lock")
  }
  if (!areDependenciesInstalled()) installDependencies()
  if (dependenciesOnly) return
  buildAddon()
  if (!isCompiled()) compile({ tolerateTypeErrors })
}

try {
  setup()
} catch (failure) {
  if (!(failure instanceof SetupFailure)) throw failure
  console.error(`setup: ${failure.message}`)
  process.exitCode = 1
}
