/** The commands, put together. */
import { Command } from "commander"
import { packageVersion } from "../version.ts"
import { registerDemo } from "./commands/demo.ts"
import { registerDoctor } from "./commands/doctor.ts"
import { registerHostProfile } from "./commands/host-profile.ts"
import { registerRestore } from "./commands/restore.ts"
import { registerRun } from "./commands/run.ts"
import { registerSnapshot } from "./commands/snapshot/snapshot.ts"
import type { CliContext } from "./context.ts"
import { exitCodeHelp } from "./exit-codes.ts"
import { painter } from "./output/terminal.ts"

const examples = `
Examples:
  cryovm doctor                                    what this host can do
  cryovm demo                                      boot, save, restore, clone
  cryovm run --exec "uname -a"                     boot a guest for one command
  cryovm run --snapshot-on-exit warm --exec true   boot a guest and save it
  cryovm restore warm --exec "uname -a"            bring it back in milliseconds
  cryovm snapshot info warm                        what a snapshot holds
  cryovm snapshot check warm                       does it run here, or elsewhere?`

/** Commander's own messages, in the form of all others. */
const printUsageError = (message: string, write: (text: string) => void): void => {
  const paint = painter(process.stderr)
  const text = message.replace(/^error: /, "").trimEnd()
  write(`${paint("red", "cryovm:")} ${text} ${paint("dim", "[CRYOVM_USAGE]")}\n`)
}

export const buildProgram = (context: CliContext): Command => {
  const program = new Command("cryovm")
    .description("Boot a Linux guest on KVM, freeze it, bring it back in milliseconds.")
    .version(packageVersion, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "show the help of a command")
    .addHelpText("after", examples)
    .addHelpText("after", exitCodeHelp)
    .configureOutput({ outputError: printUsageError })
    .showHelpAfterError('("--help" after a command shows what it takes)')
    .exitOverride()
  program.hook("preAction", (_, command) => {
    const { verbose, json } = command.opts<{ verbose?: boolean; json?: boolean }>()
    context.verbose = verbose === true
    context.json = json === true
  })
  registerRun(program, context)
  registerRestore(program, context)
  registerSnapshot(program, context)
  registerDemo(program, context)
  registerDoctor(program, context)
  registerHostProfile(program, context)
  return program
}
