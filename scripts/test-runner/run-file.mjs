/** Runs one test file in a process of its own and says what came of it. */

import { spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { killLeftovers, markedEnvironment } from "./leftovers.mjs"

const childMain = fileURLToPath(new URL("./child/main.mjs", import.meta.url))
const maximumOutput = 16 * 1024 * 1024

/** Marks of the files running now. */
const running = new Set()

/** For the runner's own untimely end. */
export const killAllRunning = () => {
  for (const mark of running) killLeftovers(mark)
}

/** Gathers stdout and stderr in the order of arrival. */
const collectOutput = (child) => {
  const pieces = []
  let size = 0
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (piece) => {
      if (size <= maximumOutput) pieces.push(piece)
      size += piece.length
    })
  }
  return () => Buffer.concat(pieces).toString() + (size > maximumOutput ? "\n(output cut)\n" : "")
}

const receive = (line, result, progress) => {
  const message = JSON.parse(line)
  if (message.type === "start") progress.test = message.name
  else if (message.type === "problem") result.problems.push(message.text)
  else if (message.type === "done") progress.isDone = true
  else if (message.type === "end") {
    progress.test = undefined
    const { type: _, ...test } = message
    result.tests.push(test)
  }
}

/** Why the way in which the process ended is a failure; undefined when it is none. */
const problemOfEnd = ({ code, signal, isTimedOut, limitSeconds, progress }) => {
  const where = progress.test === undefined ? "" : ` in the test "${progress.test}"`
  if (isTimedOut) return `took longer than its ${limitSeconds} s${where}`
  if (signal !== null) return `ended by ${signal}${where}`
  if (!progress.isDone) return `the process ended early (exit code ${code})${where}`
  if (code !== 0) return `exit code ${code} after its last test`
  return undefined
}

/**
 * @param file what `discover` found
 * @param namePattern source of a regular expression for names of tests, or undefined for all
 */
export const runFile = async (file, namePattern) => {
  const start = performance.now()
  const result = { path: file.path, tests: [], problems: [], notes: [], output: "" }
  const finish = () => ({ ...result, milliseconds: performance.now() - start })
  if (file.compiledPath === undefined) {
    result.problems.push("there is no compiled output of this file")
    return finish()
  }

  const mark = randomUUID()
  running.add(mark)
  const child = spawn(process.execPath, [childMain, file.compiledPath, ...(namePattern ? [namePattern] : [])], {
    // A group of its own, so that signals for the terminal's foreground group do not reach it before they reach us.
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: markedEnvironment(mark),
  })
  const output = collectOutput(child)
  const progress = { test: undefined, isDone: false }
  const messages = createInterface({ input: child.stdio[3] }).on("line", (line) => receive(line, result, progress))
  const messagesEnd = once(messages, "close")
  const streamsEnd = once(child, "close")

  let isTimedOut = false
  const timer = setTimeout(() => {
    isTimedOut = true
    child.kill("SIGKILL")
  }, file.limitSeconds * 1000)
  const [code, signal] = await once(child, "exit")
  clearTimeout(timer)
  const leftovers = killLeftovers(mark)
  running.delete(mark)
  // What it started can have shed its mark (an emptied environment) and still hold its output open.
  const patience = setTimeout(() => {
    result.problems.push("something that it started outlives it, holds its output open and could not be found")
    for (const stream of child.stdio) stream?.destroy()
  }, 2000)
  await Promise.all([messagesEnd, streamsEnd])
  clearTimeout(patience)

  if (leftovers.length > 0) result.notes.push(`left running, and killed: ${leftovers.join(", ")}`)
  const problem = problemOfEnd({ code, signal, isTimedOut, limitSeconds: file.limitSeconds, progress })
  if (problem !== undefined) result.problems.push(problem)
  result.output = output()
  return finish()
}
