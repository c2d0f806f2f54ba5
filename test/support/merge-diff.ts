/** Merges a file of changed pages into one of all memory (`merge-diff.c`), as other programs do. */
import { compile, run } from "./compile.ts"

/**
 * @param scratch a directory for the compiled program
 * @returns offset and length of every part of `changes` that is no hole
 */
export const mergeDiff = (scratch: string, changes: string, memory: string): readonly (readonly number[])[] => {
  const lines = run(compile("merge-diff", scratch), [changes, memory]).split("\n")
  return lines.filter((line) => line !== "").map((line) => line.split(" ").map(Number))
}
