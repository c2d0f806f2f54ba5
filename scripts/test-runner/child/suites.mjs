/**
 * What a test file gets for `import { suite, test } from "uvu"`: uvu's interface, with an engine that hides nothing.
 *
 * uvu itself hands the runner one opaque function a suite (through `UVU_QUEUE`), which gives back two counts and a
 * text; an error in a `before` hook, a thrown non-Error and a forgotten `test.run()` are lost in it, and the tests
 * have no names by which to choose. So the collecting and the running, some hundred lines, are ours.
 */

import { send } from "./channel.mjs"
import { describeError } from "./describe-error.mjs"

/** Batches in the order of the `run()` calls. */
const batches = []
const suites = []
let isOver = false

const emptyBatch = () => ({ tests: [], only: [], skipped: [], before: [], after: [], beforeEach: [], afterEach: [] })

const makeSuite = (suiteName, state) => {
  const own = { name: suiteName, state, batch: emptyBatch() }
  suites.push(own)
  const check = () => {
    if (isOver) throw new Error(`${suiteName || "test"}: used after the tests of this file were over`)
  }
  const add = (list) => (name, handler) => {
    check()
    if (typeof handler !== "function") throw new TypeError(`the test "${name}" has no function`)
    own.batch[list].push({ name: String(name), handler })
  }
  const addHook = (list) => (handler) => {
    check()
    own.batch[list].push(handler)
  }
  const test = add("tests")
  test.only = add("only")
  test.skip = (name = "(unnamed)") => {
    check()
    own.batch.skipped.push({ name: String(name) })
  }
  test.before = addHook("before")
  test.before.each = addHook("beforeEach")
  test.after = addHook("after")
  test.after.each = addHook("afterEach")
  test.run = () => {
    check()
    batches.push({ suiteName, state, ...own.batch })
    own.batch = emptyBatch()
  }
  return test
}

export const suite = (name = "", state = {}) => makeSuite(name, state)
export const test = suite()
export const exec = () => {
  throw new Error('uvu\'s exec() has no place in a test file: call "test.run()"')
}

/** Calls every hook; gives the descriptions of what they threw. */
const callAll = async (hooks, state) => {
  const errors = []
  for (const hook of hooks) {
    try {
      await hook(state)
    } catch (error) {
      errors.push(describeError(error))
    }
  }
  return errors
}

const runTest = async (batch, { name, handler }, beforeErrors) => {
  const { state } = batch
  const fullName = batch.fullName(name)
  const start = performance.now()
  send({ type: "start", name: fullName })
  state.__test__ = name
  const errors = beforeErrors.map((text) => `the before hook failed: ${text}`)
  if (errors.length === 0) {
    errors.push(...(await callAll(batch.beforeEach, state)).map((text) => `a before.each hook failed: ${text}`))
    if (errors.length === 0) errors.push(...(await callAll([handler], state)))
    errors.push(...(await callAll(batch.afterEach, state)).map((text) => `an after.each hook failed: ${text}`))
  }
  state.__test__ = ""
  const status = errors.length === 0 ? "passed" : "failed"
  send({ type: "end", name: fullName, status, milliseconds: performance.now() - start, error: errors.join("\n") })
}

const runBatch = async (batch, isWanted) => {
  batch.fullName = (name) => (batch.suiteName ? `${batch.suiteName}: ${name}` : name)
  const wanted = (list) => list.filter(({ name }) => isWanted(batch.fullName(name)))
  const hasOnly = batch.only.length > 0
  const chosen = wanted(hasOnly ? batch.only : batch.tests)
  const leftOut = wanted([...batch.skipped, ...(hasOnly ? batch.tests : [])])
  for (const { name } of leftOut) {
    send({ type: "end", name: batch.fullName(name), status: "skipped", milliseconds: 0 })
  }
  if (hasOnly && process.env.CI) send({ type: "problem", text: "test.only keeps other tests from running" })
  if (chosen.length === 0) return
  batch.state.__suite__ = batch.suiteName
  const beforeErrors = await callAll(batch.before, batch.state)
  for (const each of chosen) await runTest(batch, each, beforeErrors)
  for (const text of await callAll(batch.after, batch.state)) {
    send({ type: "problem", text: `${batch.fullName("the after hook")} failed: ${text}` })
  }
}

/** Runs what the file registered, and tells what it forgot. */
export const runSuites = async (isWanted) => {
  let registered = 0
  // Not for-of with a fixed end: a test may itself call run() on a further suite.
  for (let index = 0; index < batches.length; index++) {
    const batch = batches[index]
    registered += batch.tests.length + batch.only.length + batch.skipped.length
    await runBatch(batch, isWanted)
  }
  isOver = true
  for (const { name, batch } of suites) {
    const forgotten = Object.values(batch).flat().length
    if (forgotten === 0) continue
    send({
      type: "problem",
      text: `${name ? `suite "${name}"` : "test"}.run() was never called: its tests did not run`,
    })
    registered += forgotten
  }
  if (registered === 0) send({ type: "problem", text: "the file has no tests" })
}
