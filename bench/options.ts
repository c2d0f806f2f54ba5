/** What the benchmark is asked for on its command line. */
import { tmpdir } from "node:os"
import { parseArgs } from "node:util"
import type { Scenario } from "./scenario.ts"

export interface Options {
  readonly runs: number
  readonly memoryMib: number
  readonly folder: string
  readonly chosen: readonly Scenario[]
  readonly json: boolean
  readonly install: boolean
}

const positiveInteger = (name: string, text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} ${text}: not a whole number above 0`)
  return value
}

/** A guest below this has no room for all that the scenarios put into it. */
const LEAST_MEMORY_MIB = 64

export const parseOptions = (args: readonly string[], scenarios: readonly Scenario[]): Options => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: "string" },
      memory: { type: "string" },
      quick: { type: "boolean", default: false },
      folder: { type: "string", default: tmpdir() },
      only: { type: "string", multiple: true, default: [] },
      json: { type: "boolean", default: false },
      install: { type: "boolean", default: false },
    },
  })
  const unknown = values.only.find((name) => !scenarios.some((scenario) => scenario.name === name))
  if (unknown !== undefined) {
    throw new Error(`--only ${unknown}: there are ${scenarios.map(({ name }) => name).join(", ")}`)
  }
  const memoryMib = positiveInteger("memory", values.memory ?? (values.quick ? "128" : "512"))
  if (memoryMib < LEAST_MEMORY_MIB) throw new Error(`--memory ${memoryMib}: at least ${LEAST_MEMORY_MIB}`)
  return {
    runs: positiveInteger("runs", values.runs ?? (values.quick ? "3" : "15")),
    memoryMib,
    folder: values.folder,
    chosen: scenarios.filter(({ name }) => values.only.length === 0 || values.only.includes(name)),
    json: values.json,
    install: values.install,
  }
}
