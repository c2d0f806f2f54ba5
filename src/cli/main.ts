#!/usr/bin/env node
/** The `cryovm` command. */
import { CommanderError } from "commander"
import type { CliContext } from "./context.ts"
import { ExitCode } from "./exit-codes.ts"
import { abortOnSignals, surviveClosedOutput } from "./interruption.ts"
import { reportFailure } from "./output/report-failure.ts"
import { buildProgram } from "./program.ts"

const HELP_SHOWN = new Set(["commander.helpDisplayed", "commander.version"])

/** Commander has printed its message by now; help that was asked for is no error. */
const exitCodeOfCommander = (error: CommanderError): number =>
  HELP_SHOWN.has(error.code) ? ExitCode.ok : ExitCode.usage

const interruption = new AbortController()
const context: CliContext = { signal: interruption.signal, abort: (reason) => interruption.abort(reason) }
abortOnSignals(interruption)
surviveClosedOutput(interruption)
try {
  process.exitCode = ExitCode.ok
  await buildProgram(context).parseAsync()
} catch (error) {
  process.exitCode = error instanceof CommanderError ? exitCodeOfCommander(error) : reportFailure(error, context)
}
