/** Finds the test files and reads what they declare about themselves. */

import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"

const defaultLimitSeconds = 120

const filesUnder = (folder) =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    : []

/**
 * Reads the comment lines at the very top of a file: `// time limit: 300 s` for a limit other than two minutes, and
 * `// runs alone` for a file that measures, or takes the whole machine, and must have no other beside it.
 */
const declarations = (text) => {
  const lines = text.split("\n")
  const end = lines.findIndex((line) => !/^\s*(\/\/|\/?\*|$)/.test(line))
  const head = lines.slice(0, end === -1 ? undefined : end).join("\n")
  const limit = /^\/\/ time limit: (\d+) s$/m.exec(head)
  return {
    limitSeconds: limit === null ? defaultLimitSeconds : Number(limit[1]),
    runsAlone: /^\/\/ runs alone$/m.test(head),
  }
}

/**
 * All test files below `test/`. Sources count: one that was not compiled must show up as a failure, not as nothing.
 * @param suffix what the names of sources end with, `.test.ts`; the runner's own tests use another
 */
export const discover = (root, suffix) => {
  const compiledSuffix = suffix.replace(/ts$/, "js")
  const sources = filesUnder(join(root, "test")).filter((path) => path.endsWith(suffix))
  return sources
    .map((source) => {
      const path = relative(root, source)
      const compiled = join(root, "dist", path.slice(0, -suffix.length) + compiledSuffix)
      const compiledPath = existsSync(compiled) ? compiled : undefined
      return { path, compiledPath, ...declarations(readFileSync(source, "utf8")) }
    })
    .sort((one, other) => (one.path < other.path ? -1 : 1))
}

/** A pattern is a part of a path, of the source or of the compiled file. */
export const matches = (file, pattern) =>
  file.path.includes(pattern.replace(/^(\.\/)?(dist\/)?/, "").replace(/\.js$/, ".ts"))
