/** TypeScript into dist/, when sources changed; dist/ holds nothing that has no source any more. */

import { createHash } from "node:crypto"
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root, run, SetupFailure } from "./run.mjs"

const folders = ["src", "test", "bench"]
const configuration = ["tsconfig.json", "package.json", "package-lock.json"]
const stampPath = join(root, "dist/.stamp")

/** Paths of the files under `folder`, relative to the checkout, in a stable order. */
const filesUnder = (folder) => {
  try {
    return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1))
      .sort()
  } catch (error) {
    if (error.code === "ENOENT") return []
    throw error
  }
}

const sources = () => folders.flatMap(filesUnder).filter((path) => path.endsWith(".ts"))

/** Changes when a source comes, goes or changes. */
const fingerprint = () => {
  const hash = createHash("sha256")
  for (const path of [...configuration, ...sources()]) {
    const { mtimeMs, size } = statSync(join(root, path))
    hash.update(`${path} ${mtimeMs} ${size}\n`)
  }
  return hash.digest("hex")
}

export const isCompiled = () => {
  try {
    return readFileSync(stampPath, "utf8") === fingerprint()
  } catch (error) {
    if (error.code === "ENOENT") return false
    throw error
  }
}

/** A test that was deleted or renamed must not go on running from its old output. */
const removeStaleOutputs = () => {
  const expected = new Set(
    sources()
      .filter((path) => !path.endsWith(".d.ts"))
      .flatMap((path) => [path.replace(/\.ts$/, ".js"), path.replace(/\.ts$/, ".d.ts")])
      .map((path) => join("dist", path)),
  )
  for (const path of folders.flatMap((folder) => filesUnder(join("dist", folder)))) {
    if (/\.(js|d\.ts)$/.test(path) && !expected.has(path)) rmSync(join(root, path), { force: true })
  }
}

export const compile = ({ tolerateTypeErrors }) => {
  // Taken before tsc reads the sources: an edit during the compilation must lead to another one.
  const stamp = fingerprint()
  rmSync(stampPath, { force: true })
  try {
    run("the TypeScript compiler", process.execPath, ["node_modules/typescript/bin/tsc"])
  } catch (failure) {
    if (!tolerateTypeErrors || !(failure instanceof SetupFailure)) throw failure
    console.error(`setup: going on although ${failure.message}`)
    removeStaleOutputs()
    return
  }
  removeStaleOutputs()
  mkdirSync(join(root, "dist"), { recursive: true })
  writeFileSync(stampPath, stamp)
}
