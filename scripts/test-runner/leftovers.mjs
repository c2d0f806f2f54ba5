/**
 * Finds and kills what a test file left running. Its process group would miss what was started detached, so every
 * file's process gets a mark in its environment, which all that it starts inherits. Runners can be nested (the tests
 * of this runner): marks then add up, and the outer file's end takes the inner ones along.
 */

import { readdirSync, readFileSync } from "node:fs"

const variable = "CRYOVM_TEST_LINEAGE"

export const markedEnvironment = (mark) => ({
  ...process.env,
  [variable]: [process.env[variable], mark].filter(Boolean).join(","),
})

const read = (path) => {
  try {
    return readFileSync(path, "latin1")
  } catch {
    return "" // It ended meanwhile, or is somebody else's.
  }
}

const isMarked = (pid, mark) =>
  read(`/proc/${pid}/environ`)
    .split("\0")
    .some(
      (entry) =>
        entry.startsWith(`${variable}=`) &&
        entry
          .slice(variable.length + 1)
          .split(",")
          .includes(mark),
    )

/** Kills all processes with this mark; gives their names. Looks again until none is left, for they may be forking. */
export const killLeftovers = (mark) => {
  const names = []
  for (let round = 0; round < 10; round++) {
    const found = readdirSync("/proc").filter((entry) => /^\d+$/.test(entry) && isMarked(entry, mark))
    if (found.length === 0) break
    for (const pid of found) {
      const name = read(`/proc/${pid}/comm`).trim()
      try {
        process.kill(Number(pid), "SIGKILL")
        if (round === 0) names.push(name)
      } catch (error) {
        if (error.code !== "ESRCH") throw error
      }
    }
  }
  return names
}
