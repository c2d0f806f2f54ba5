/** The process of one test file: `node main.mjs <file> [<regular expression for names>]`. */

import { pathToFileURL } from "node:url"
import { send } from "./channel.mjs"
import { describeError } from "./describe-error.mjs"
import { redirectUvu } from "./redirect.mjs"
import { runSuites } from "./suites.mjs"

/** How long after its last test a file may take to end by itself. */
const lingerMilliseconds = 5000

const [, , file, namePattern] = process.argv
const name = namePattern === undefined ? undefined : new RegExp(namePattern)

redirectUvu()
try {
  await import(pathToFileURL(file).href)
  await runSuites((fullName) => name === undefined || name.test(fullName))
} catch (error) {
  send({ type: "problem", text: `the file could not be loaded: ${describeError(error)}` })
}
send({ type: "done" })

setTimeout(() => {
  const held = process.getActiveResourcesInfo().join(", ")
  send({ type: "problem", text: `still running after its last test, held by: ${held}` })
  process.exit()
}, lingerMilliseconds).unref()
