/**
 * Runs the tests: each file in a process of its own, with a time limit, and no way for a failure to go unseen.
 *
 *   node scripts/test.mjs [pattern...]    files whose path contains a pattern; all without one
 *     --name <regular expression>         only tests whose name ("suite: test") matches
 *     --jobs <number>                     files at once (2)
 *     --list                              prints the files with what they declare, and runs nothing
 *     --json                              one JSON document on stdout; what is meant for people goes to stderr
 *     --suffix <.name.ts>                 other files than *.test.ts (for the runner's own tests)
 *
 * The last line is "N passed, N failed", with ", N skipped" when there are any. Exit code 1 on any failure, or when
 * no test ran.
 */

import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { discover, matches } from "./test-runner/discover.mjs"
import { countResults, describeFailures, describeResult, totalLine } from "./test-runner/report.mjs"
import { killAllRunning, runFile } from "./test-runner/run-file.mjs"
import { schedule } from "./test-runner/schedule.mjs"

const root = fileURLToPath(new URL("..", import.meta.url))

const parseOptions = () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      name: { type: "string" },
      jobs: { type: "string", default: "2" },
      list: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      suffix: { type: "string", default: ".test.ts" },
    },
  })
  const jobs = Number(values.jobs)
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error(`--jobs ${values.jobs}: not a number of files`)
  if (values.name !== undefined) new RegExp(values.name)
  return { ...values, jobs, patterns: positionals }
}

const choose = ({ suffix, patterns }) => {
  const files = discover(root, suffix)
  const unmatched = patterns.find((pattern) => !files.some((file) => matches(file, pattern)))
  if (unmatched !== undefined) throw new Error(`no test file matches "${unmatched}"`)
  return patterns.length === 0 ? files : files.filter((file) => patterns.some((pattern) => matches(file, pattern)))
}

const main = async () => {
  const options = parseOptions()
  const files = choose(options)
  if (options.list) {
    for (const { path, limitSeconds, runsAlone } of files) {
      console.log(`${path}  (${limitSeconds} s${runsAlone ? ", runs alone" : ""})`)
    }
    return
  }
  const print = options.json ? console.error : console.log
  const results = []
  await schedule(files, options.jobs, async (file) => {
    const result = await runFile(file, options.name)
    results.push(result)
    // With --name most files have nothing to say.
    if (options.name === undefined || result.tests.length + result.problems.length > 0) print(describeResult(result))
  })
  const { passed, failed, skipped } = countResults(results)
  if (options.json) console.log(JSON.stringify({ passed, failed, skipped, files: results }))
  const failures = describeFailures(results)
  if (failures.length > 0) print(`\n${failures.join("\n")}`)
  if (passed + failed === 0) print("no test ran")
  print(totalLine(results))
  if (failed > 0 || passed === 0) process.exitCode = 1
}

for (const [signal, number] of [
  ["SIGINT", 2],
  ["SIGTERM", 15],
  ["SIGHUP", 1],
]) {
  process.on(signal, () => {
    killAllRunning()
    process.exit(128 + number)
  })
}
try {
  await main()
} catch (error) {
  killAllRunning()
  console.error(`test: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
