/** What the command itself has to say beside a guest's output: on standard error, one line at a time. */
import { painter } from "../output/terminal.ts"

export const say = (text: string): void => {
  process.stderr.write(`${painter(process.stderr)("dim", `cryovm: ${text}`)}\n`)
}

/** Said only where somebody looks on, or asked for it. */
export type Notes = (text: string) => void

export const notesFor = ({ verbose }: { readonly verbose?: boolean }): Notes =>
  verbose === true || process.stderr.isTTY ? say : () => {}
