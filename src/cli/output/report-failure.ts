/** The end of a command that failed: what is printed, and with which code it exits. */
import type { CliContext } from "../context.ts"
import { exitCodeOf } from "../exit-codes.ts"
import { Interrupted } from "../interruption.ts"
import { describeError, type ErrorDescription } from "./describe-error.ts"
import { printJson } from "./json.ts"
import { indented, table } from "./table.ts"
import { type Paint, painter, printable } from "./terminal.ts"

const line = (head: string, { message, code }: { message: string; code?: string }, paint: Paint): string =>
  `${head} ${message.split("\n").map(printable).join("\n  ")}${code === undefined ? "" : ` ${paint("dim", `[${code}]`)}`}\n`

const inHex = (registers: Readonly<Record<string, bigint>>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(registers).map(([name, value]) => [name, `0x${value.toString(16).padStart(16, "0")}`]),
  )

/** Whether the causes say more than the message: an errno mostly does not. */
const isWorthAsking = ({ causes, registers }: ErrorDescription): boolean =>
  registers !== undefined || causes.some(({ code }) => code?.startsWith("CRYOVM_") === true)

/** An error while giving things back does not hide the one that led to it. */
const firstOf = (error: unknown): unknown => {
  if (!(error instanceof Error) || !("suppressed" in error)) return error
  return error.suppressed
}

const printDescription = (description: ErrorDescription, verbose: boolean): void => {
  const paint = painter(process.stderr)
  let text = line(paint("red", "cryovm:"), description, paint)
  if (verbose) {
    for (const cause of description.causes) text += line(`  ${paint("dim", "caused by:")}`, cause, paint)
    if (description.registers !== undefined) text += indented(table(Object.entries(inHex(description.registers))))
  } else if (isWorthAsking(description)) {
    text += paint("dim", "  (--verbose tells more)\n")
  }
  // An error without a code is none that was foreseen.
  if (description.stack !== undefined)
    text += paint("dim", `This is a mistake in cryovm; please report it:\n${description.stack}\n`)
  process.stderr.write(text)
}

/** Prints why a command failed. @returns its exit code */
export const reportFailure = (
  thrown: unknown,
  { verbose = false, json = false, failureCode }: Pick<CliContext, "verbose" | "json" | "failureCode">,
): number => {
  const error = firstOf(thrown)
  if (error instanceof Interrupted) {
    if (!error.silent) process.stderr.write(`cryovm: ${error.message}\n`)
    return error.exitCode
  }
  const description = describeError(error)
  printDescription(description, verbose)
  if (json) {
    const { code = null, message, causes, registers } = description
    printJson({ error: { code, message, causes, ...(registers === undefined ? {} : { registers: inHex(registers) }) } })
  }
  return exitCodeOf(description.code, failureCode)
}
