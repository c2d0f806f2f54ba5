/** Mistakes in the command line that commander itself does not see. */
import { InvalidArgumentError } from "commander"

/** Printed as `cryovm: <message> [CRYOVM_USAGE]`; exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError"
  readonly code = "CRYOVM_USAGE"
}

/** Parses an option's value as a whole number; ranges are the library's affair. */
export const wholeNumber = (text: string): number => {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("It has to be a whole number.")
  return Number(text)
}

/** A path or a command that has to have something in it. */
export const notEmpty = (text: string): string => {
  if (text === "") throw new InvalidArgumentError("It must not be empty.")
  return text
}
