/**
 * Measures cryovm beside a plain C program that does the same work.
 *
 *   npm run bench -- [--runs N] [--memory MiB] [--only name]... [--json]
 *
 * Absolute times say little on a machine that does other things too; the ratio of two medians, taken by turns, does.
 * The exit code is 1 when a step costs more than its target.
 */
import { mkdtempSync, rmSync } from "node:fs"
import { availableParallelism, cpus, release, tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { loadNative } from "../src/native.ts"
import { startFloor } from "./floor.ts"
import { prepareInputs } from "./inputs.ts"
import { measure, type ScenarioResult } from "./measure.ts"
import { describeScenario, isWithinTarget } from "./report.ts"
import { scenarios } from "./scenarios/all.ts"

const positiveInteger = (name: string, text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} ${text}: not a whole number above 0`)
  return value
}

const parseOptions = () => {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "15" },
      memory: { type: "string", default: "512" },
      only: { type: "string", multiple: true, default: [] },
      json: { type: "boolean", default: false },
    },
  })
  const unknown = values.only.find((name) => !scenarios.some((scenario) => scenario.name === name))
  if (unknown !== undefined) {
    throw new Error(`--only ${unknown}: there are ${scenarios.map(({ name }) => name).join(", ")}`)
  }
  return {
    runs: positiveInteger("runs", values.runs),
    memoryMib: positiveInteger("memory", values.memory),
    chosen: scenarios.filter(({ name }) => values.only.length === 0 || values.only.includes(name)),
    json: values.json,
  }
}

const host = () => ({
  kernel: release(),
  processor: cpus()[0]?.model ?? "unknown",
  processors: availableParallelism(),
  node: process.versions.node,
})

const main = async () => {
  const { runs, memoryMib, chosen, json } = parseOptions()
  const native = loadNative()
  const folder = mkdtempSync(join(tmpdir(), "cryovm-bench-"))
  const results: ScenarioResult[] = []
  try {
    const inputs = await prepareInputs(native, folder, memoryMib)
    const floor = startFloor(folder)
    if (!json) console.log(`${memoryMib} MiB of guest memory, ${Object.values(host()).join(", ")}\n`)
    for (const scenario of chosen) {
      const result = await measure(scenario, { native, inputs, floor, memoryMib, folder }, runs)
      results.push(result)
      if (!json) console.log(describeScenario(result))
    }
    await floor.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  if (json) console.log(JSON.stringify({ host: host(), memoryMib, scenarios: results }, undefined, 2))
  if (!results.every(({ steps }) => steps.every(isWithinTarget))) process.exitCode = 1
}

await main()
