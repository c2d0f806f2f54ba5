/**
 * Measures cryovm beside a plain C program that does the same work, and beside QEMU where it is installed.
 *
 *   npm run bench -- [--runs N] [--memory MiB] [--quick] [--folder path] [--only name]... [--json] [--install]
 *
 * --quick    3 runs with 128 MiB instead of 15 with 512; --runs and --memory say otherwise
 * --folder   where files are written: the speed of a snapshot is that of its file system (the temporary folder)
 * --install  installs first, as root on Debian, what only some scenarios need: QEMU
 *
 * Absolute times say little on a machine that does other things too; the ratio of two medians, taken by turns, does.
 * The exit code is 1 when something costs more than its target.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { availableParallelism, cpus, release } from "node:os"
import { join } from "node:path"
import { loadNative } from "../src/native.ts"
import { build, installPackages } from "./build.ts"
import { startFloor } from "./floor.ts"
import { prepareInputs } from "./inputs.ts"
import { measure, type ScenarioResult } from "./measure.ts"
import { type Options, parseOptions } from "./options.ts"
import { describeScenario, isWithinTargets } from "./report.ts"
import { scenarios } from "./scenarios/all.ts"

const host = () => ({
  kernel: release(),
  processor: cpus()[0]?.model ?? "unknown",
  processors: availableParallelism(),
  node: process.versions.node,
})

interface Skipped {
  readonly name: string
  readonly reason: string
}

const runAll = async ({ chosen, runs, memoryMib, json }: Options, folder: string) => {
  const native = loadNative()
  const results: ScenarioResult[] = []
  const skipped: Skipped[] = []
  const inputs = await prepareInputs(native, folder, memoryMib)
  const floor = startFloor(folder)
  for (const scenario of chosen) {
    const reason = scenario.unavailable?.()
    if (reason !== undefined) {
      skipped.push({ name: scenario.name, reason })
      if (!json) console.log(`${scenario.name}: left out, ${reason}\n`)
      continue
    }
    const result = await measure(scenario, { native, inputs, floor, memoryMib, folder }, runs)
    results.push(result)
    if (!json) console.log(describeScenario(result))
  }
  await floor.close()
  return { results, skipped }
}

const main = async () => {
  const options = parseOptions(process.argv.slice(2), scenarios)
  const { memoryMib, json } = options
  if (options.install) installPackages()
  build()
  const folder = mkdtempSync(join(options.folder, "cryovm-bench-"))
  try {
    if (!json) {
      console.log(`${memoryMib} MiB of guest memory, files in ${options.folder}, ${Object.values(host()).join(", ")}\n`)
    }
    const { results, skipped } = await runAll(options, folder)
    if (json) {
      const about = { host: host(), memoryMib, folder: options.folder }
      console.log(JSON.stringify({ ...about, scenarios: results, skipped }, undefined, 2))
    }
    if (!results.every(isWithinTargets)) process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
