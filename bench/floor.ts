/** The C program in `floor/`: built here, started once, asked for one measurement at a time. */
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Steps } from "./scenario.ts"

const sources = fileURLToPath(new URL("../../bench/floor", import.meta.url))
const output = fileURLToPath(new URL("./floor-build", import.meta.url))

export interface Floor {
  /** Gives the program a command; see `floor/floor.c`. */
  measure(command: string): Promise<Steps>
  close(): Promise<void>
}

/** @param folder holds `state.bin` and `memory.img` */
export const startFloor = (folder: string): Floor => {
  execFileSync("make", ["-s", "--no-print-directory", "-C", sources, `OUT=${output}`], { stdio: ["ignore", 2, 2] })
  const child = spawn(`${output}/floor`, [folder], { stdio: ["pipe", "pipe", "inherit"] })
  const ended = once(child, "exit")
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    measure: async (command) => {
      child.stdin.write(`${command}\n`)
      const line = await lines.next()
      if (line.done) throw new Error(`the floor program ended at the command "${command}"`)
      return JSON.parse(line.value) as Steps
    },
    close: async () => {
      child.stdin.end()
      await ended
    },
  }
}
