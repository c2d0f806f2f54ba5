/** Options that several of the snapshot commands share. */
import type { Command } from "commander"
import { addParentsOption, type CommonOptions, type ParentsOptions } from "../../options.ts"

/** Of a command that reads a chain of snapshots. */
export interface ChainOptions extends CommonOptions, ParentsOptions {}

/** Of a command that writes something new, made of snapshots. */
export interface WritingOptions extends ChainOptions {
  readonly overwrite?: boolean
  readonly verify: boolean
}

/** @param overwrite what it means, for the help */
export const addWritingOptions = (command: Command, overwrite: string): Command =>
  addParentsOption(command)
    .option("--overwrite", overwrite)
    .option("--no-verify", "do not look for damage in what is read first")

/** The same for the library. */
export const operationOptions = ({ parents = [], overwrite = false, verify }: WritingOptions) => ({
  parents,
  overwrite,
  verify,
})
