#!/usr/bin/env node
// Builds the C++ addon: native/build/cryovm.node.
//
//   node scripts/build-native.mjs              does nothing when nothing changed
//   node scripts/build-native.mjs --release    also leaves it stripped in prebuilds/linux-x64/cryovm.node
//
// Plain make and g++: no python, no download. Node's headers come with Node.

import { spawnSync } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, renameSync } from "node:fs"
import { availableParallelism } from "node:os"
import { delimiter, dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..")
const remedy = "On Debian or Ubuntu: scripts/install-debian-packages.sh"

const fail = (message) => {
  console.error(`build-native: ${message}`)
  process.exit(1)
}

if (process.platform !== "linux" || process.arch !== "x64") {
  fail(`the addon is for Linux on x86-64, not ${process.platform} on ${process.arch}.`)
}

const onPath = (program) =>
  (process.env.PATH ?? "").split(delimiter).some((folder) => folder !== "" && existsSync(join(folder, program)))

/** The first folder that holds `file`, or the message of what is missing. */
const folderWith = (file, candidates, missing) =>
  candidates.find((folder) => existsSync(join(folder, file))) ??
  fail(`${missing} (looked for ${file} in ${candidates.join(", ")}).`)

const compiler = process.env.CXX ?? "g++"
for (const program of [compiler.split(" ")[0], "make"]) {
  if (!program.includes("/") && !onPath(program)) fail(`${program} is not installed. ${remedy}`)
}
for (const header of ["linux/kvm.h", "xxhash.h"]) {
  if (!existsSync(join("/usr/include", header))) fail(`${header} is not installed. ${remedy}`)
}

const nodeHeaders = folderWith(
  "node_api.h",
  [resolve(process.execPath, "../../include/node"), "/usr/include/node", "/usr/local/include/node"],
  `the headers of this Node.js (${process.execPath}) are missing: install Node.js from nodejs.org or NodeSource, or the package libnode-dev`,
)
// Beside this package where it is installed as somebody's dependency.
const apiHeaders = folderWith(
  "napi.h",
  [join(root, "node_modules/node-addon-api"), join(root, "../node-addon-api")],
  'node-addon-api is missing: run "npm ci"',
)

const make = spawnSync(
  "make",
  [
    "--no-print-directory",
    "-s",
    `-j${availableParallelism()}`,
    "-C",
    join(root, "native"),
    `CXX=${compiler}`,
    `NODE_HEADERS=${nodeHeaders}`,
    `NAPI_HEADERS=${apiHeaders}`,
  ],
  { stdio: "inherit" },
)
if (make.error !== undefined) fail(`make could not be started: ${make.error.message}`)
if (make.status !== 0) fail("the compiler reported errors (above).")

if (process.argv.includes("--release")) {
  const folder = join(root, "prebuilds/linux-x64")
  const target = join(folder, "cryovm.node")
  mkdirSync(folder, { recursive: true })
  copyFileSync(join(root, "native/build/cryovm.node"), `${target}.new`)
  if (!onPath("strip")) fail(`strip is not installed. ${remedy}`)
  const strip = spawnSync("strip", ["--strip-unneeded", `${target}.new`], { stdio: "inherit" })
  if (strip.status !== 0) fail("strip failed.")
  renameSync(`${target}.new`, target)
}
