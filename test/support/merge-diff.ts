/** Merges a file of changed pages into one of all memory (`merge-diff.c`), as other programs do. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as assert from "uvu/assert"

const source = fileURLToPath(new URL("../../../test/support/merge-diff.c", import.meta.url))

const run = (command: string, args: readonly string[]): string => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" })
  assert.is(status, 0, stderr)
  return stdout
}

/**
 * @param scratch a directory for the compiled program
 * @returns offset and length of every part of `changes` that is no hole
 */
export const mergeDiff = (scratch: string, changes: string, memory: string): readonly (readonly number[])[] => {
  const program = join(scratch, "merge-diff")
  run("gcc", ["-O2", "-Wall", "-o", program, source])
  const lines = run(program, [changes, memory]).split("\n")
  return lines.filter((line) => line !== "").map((line) => line.split(" ").map(Number))
}
