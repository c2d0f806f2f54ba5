/** What to print of whatever a test threw: an error, or any other value. */

import { inspect } from "node:util"

const indent = (text) => text.replace(/^(?=.)/gm, "    ")

/** Frames of this runner and of Node say nothing about the failure. */
const withoutOwnFrames = (text) =>
  text
    .split("\n")
    .filter((line) => !/^\s+at .*(node:internal|test-runner\/child|node_modules\/uvu)/.test(line))
    .join("\n")

const framesOf = (error) => withoutOwnFrames(String(error.stack ?? "").replace(/^.*?(?=\n\s+at )/s, ""))

export const describeError = (error) => {
  if (!(error instanceof Error)) return `threw what is not an Error: ${inspect(error, { depth: 5 })}`
  // An Assertion of uvu/assert brings the difference along; its values, which inspect would print, can be very long.
  if (error.code === "ERR_ASSERTION" && "details" in error) {
    const heading = error.operator ? `${error.message}  (${error.operator})` : error.message
    return [heading, error.details ? indent(error.details) : "", framesOf(error)].filter(Boolean).join("\n")
  }
  return withoutOwnFrames(inspect(error, { depth: 5 }))
}
