/** Small C programs that tests are helped by, `test/support/*.c`. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as assert from "uvu/assert"

const sources = fileURLToPath(new URL("../../../test/support/", import.meta.url))

/** Runs a command that has to succeed. Gives what it wrote to standard output. */
export const run = (command: string, args: readonly string[]): string => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" })
  assert.is(status, 0, stderr)
  return stdout
}

/**
 * Compiles `name`.c.
 * @param scratch a directory for the program
 * @returns its path
 */
export const compile = (name: string, scratch: string): string => {
  const program = join(scratch, name)
  run("gcc", ["-O2", "-Wall", "-Werror", "-o", program, join(sources, `${name}.c`)])
  return program
}
