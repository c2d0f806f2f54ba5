/** node_modules against package-lock.json. */

import { readFileSync } from "node:fs"
import { join } from "node:path"
import { root, run } from "./run.mjs"

const packagesOf = (path) => {
  try {
    return JSON.parse(readFileSync(join(root, path), "utf8")).packages
  } catch (error) {
    if (error.code === "ENOENT") return undefined
    throw error
  }
}

/**
 * Compares what npm wrote about its last installation with the lock file, package by package. Unlike times of
 * modification this survives checkouts, and takes an installation made by hand ("npm install") for what it is.
 */
export const areDependenciesInstalled = () => {
  const installed = packagesOf("node_modules/.package-lock.json")
  if (installed === undefined) return false
  return Object.entries(packagesOf("package-lock.json")).every(([path, wanted]) => {
    if (path === "") return true
    const present = installed[path]
    if (present === undefined) return wanted.optional === true
    return present.version === wanted.version && present.integrity === wanted.integrity
  })
}

export const installDependencies = () => {
  console.error("setup: installing the dependencies (npm ci)")
  const npm = process.env.npm_execpath?.endsWith(".js") ? [process.execPath, process.env.npm_execpath] : ["npm"]
  const [command, ...first] = npm
  // --include=dev: the compiler and the linter are needed even where NODE_ENV or a user's setting says production.
  run("npm ci", command, [...first, "ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"])
}
