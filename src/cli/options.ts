/** Options that several commands share. */
import { type Command, InvalidArgumentError, Option } from "commander"
import { exitCodeHelp } from "./exit-codes.ts"
import { notEmpty } from "./usage.ts"

export interface CommonOptions {
  readonly json?: boolean
  readonly verbose?: boolean
}

/**
 * `--json`, `--verbose`, and the end of the help.
 * @param json what the JSON holds, for the help
 */
export const addCommonOptions = (
  command: Command,
  json: string,
  examples: string,
  exitCodes: string = exitCodeHelp,
): Command =>
  command
    .option("--json", json)
    .option("--verbose", "say more, and tell the causes of an error")
    .addHelpText("after", `\nExamples:\n${examples}`)
    .addHelpText("after", exitCodes)

export interface ParentsOptions {
  readonly parents?: readonly string[]
}

/** Where the parents of a diff snapshot are. */
export const addParentsOption = (command: Command): Command =>
  command.addOption(
    new Option(
      "--parents <dir...>",
      "snapshots that this one is a difference to, or folders of them: looked at before what is beside it",
    ),
  )

export interface ResourceCliOptions {
  readonly resource?: Readonly<Record<string, { readonly path: string }>>
}

const addResource = (text: string, others: ResourceCliOptions["resource"] = {}): ResourceCliOptions["resource"] => {
  const { name, path } = /^(?<name>[^=]+)=(?<path>.+)$/s.exec(text)?.groups ?? {}
  if (name === undefined || path === undefined) throw new InvalidArgumentError("It has to be NAME=PATH.")
  if (Object.hasOwn(others, name)) throw new InvalidArgumentError(`${name} is given twice.`)
  return { ...others, [name]: { path } }
}

/** Where the files and the like are that a snapshot needs outside of itself. */
export const addResourceOption = (command: Command): Command =>
  command.addOption(
    new Option(
      "--resource <name=path>",
      'another place for a disk, socket or tap that the snapshot names ("cryovm snapshot info" tells which); repeatable',
    ).argParser(addResource),
  )

/** What is to be done with a machine that runs. */
export interface SessionOptions extends CommonOptions {
  readonly exec?: string
  readonly stdin?: boolean
  readonly console?: boolean
  readonly snapshotOnExit?: string
  readonly overwrite?: boolean
}

export const addSessionOptions = (command: Command): Command =>
  command
    .addOption(
      new Option("--exec <command>", "run a command with /bin/sh in the guest, and exit with its code")
        .argParser(notEmpty)
        .conflicts("console"),
    )
    .option("--stdin", "with --exec: read standard input to its end (512 KiB at most) and give it to the command")
    .option("--console", "attach the terminal to the serial console")
    .addOption(new Option("--snapshot-on-exit <dir>", "save the guest there before it ends").argParser(notEmpty))
    .option("--overwrite", "let the snapshot take the place of one that is there already")

export const sessionHelp = `
Without --exec, a guest with the agent gets a line shell (each line is run by /bin/sh in the guest; ":help" tells
more), and any other the serial console, where Ctrl-A X ends, Ctrl-A S takes a snapshot and Ctrl-A Ctrl-A types
Ctrl-A. A command's own exit code is passed on; what cryovm has to say itself goes to standard error.`
