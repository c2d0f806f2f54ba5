/**
 * The way from a test file's process to the runner: one JSON document a line on file descriptor 3, a socket that the
 * runner made. Writes are synchronous, so that what was said before a crash or a `process.exit` arrives.
 *
 * Messages: `{ type: "start", name }`, `{ type: "end", name, status, milliseconds, error? }`,
 * `{ type: "problem", text }`, `{ type: "done", registered }`.
 */

import { writeSync } from "node:fs"

export const send = (message) => {
  let rest = Buffer.from(`${JSON.stringify(message)}\n`)
  while (rest.length > 0) rest = rest.subarray(writeSync(3, rest))
}
