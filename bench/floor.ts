/** The C program in `floor/`: started once, asked for one measurement at a time. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { floorProgram } from "./build.ts"
import type { Steps } from "./scenario.ts"

export interface Floor {
  /** Gives the program a command; the table of them is in `floor/floor.c`. */
  measure(command: string, ...words: readonly (string | number)[]): Promise<Steps>
  close(): Promise<void>
}

/** @param folder holds `state.bin` and `memory.img` */
export const startFloor = (folder: string): Floor => {
  const child = spawn(floorProgram, [folder], { stdio: ["pipe", "pipe", "inherit"] })
  const ended = once(child, "exit")
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    measure: async (...words) => {
      child.stdin.write(`${words.join("\t")}\n`)
      const line = await lines.next()
      if (line.done) throw new Error(`the floor program ended at the command "${words.join(" ")}"`)
      return JSON.parse(line.value) as Steps
    },
    close: async () => {
      child.stdin.end()
      await ended
    },
  }
}
