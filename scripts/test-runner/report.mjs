/** What the runner prints. */

const indent = (text, by) => text.replace(/^(?=.)/gm, by)
const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(2)} s`

const countStatus = (results, status) =>
  results.reduce((sum, { tests }) => sum + tests.filter((test) => test.status === status).length, 0)

/** A problem of a file (a crash, a hang, no tests) counts as a failure like a failed test. */
export const countResults = (results) => ({
  passed: countStatus(results, "passed"),
  failed: countStatus(results, "failed") + results.reduce((sum, { problems }) => sum + problems.length, 0),
  skipped: countStatus(results, "skipped"),
})

export const totalLine = (results) => {
  const { passed, failed, skipped } = countResults(results)
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`
}

/** One line for a file that passed; everything about one that failed. */
export const describeResult = (result) => {
  const { failed } = countResults([result])
  const heading = `${failed > 0 ? "FAIL" : "ok  "}  ${result.path}  (${totalLine([result])}, ${seconds(result.milliseconds)})`
  const notes = result.notes.map((note) => `      ${note}`)
  if (failed === 0) return [heading, ...notes].join("\n")
  return [
    heading,
    ...result.tests
      .filter(({ status }) => status === "failed")
      .map((test) => `  failed: ${test.name} (${seconds(test.milliseconds)})\n${indent(test.error, "    ")}`),
    ...result.problems.map((problem) => `  failed: ${problem}`),
    ...notes,
    ...(result.output.trim() === "" ? [] : [`  its output:\n${indent(result.output.trimEnd(), "  | ")}`]),
  ].join("\n")
}

/** The failures once more, by name, for the end of a long run. */
export const describeFailures = (results) =>
  results.flatMap(({ path, tests, problems }) => [
    ...tests.filter(({ status }) => status === "failed").map(({ name }) => `failed: ${path}: ${name}`),
    ...problems.map((problem) => `failed: ${path}: ${problem.split("\n")[0]}`),
  ])
