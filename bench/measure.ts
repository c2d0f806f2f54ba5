/** Runs a scenario and its floor by turns, so that whatever else the machine does meets both alike. */
import type { Context, Scenario, Steps } from "./scenario.ts"
import { type Summary, summarize } from "./statistics.ts"

export interface StepResult {
  readonly step: string
  readonly cryovm: Summary
  readonly floor: Summary | undefined
  /** Median of cryovm divided by median of the floor. */
  readonly ratio: number | undefined
  readonly target: number | undefined
}

export interface ScenarioResult {
  readonly name: string
  readonly description: string
  readonly runs: number
  readonly steps: readonly StepResult[]
}

const column = (runs: readonly Steps[], step: string): Summary | undefined => {
  const values = runs.map((run) => run[step]).filter((value) => value !== undefined)
  return values.length === 0 ? undefined : summarize(values)
}

const measurePrepared = async (scenario: Scenario, context: Context, runs: number): Promise<ScenarioResult> => {
  const own: Steps[] = []
  const floor: Steps[] = []
  // One more, whose figures are dropped: code is compiled and files come into the page cache.
  for (let run = -1; run < runs; run++) {
    const floorSteps = await scenario.runFloor?.(context)
    const steps = await scenario.run(context)
    if (run < 0) continue
    own.push(steps)
    if (floorSteps !== undefined) floor.push(floorSteps)
  }
  const steps = Object.keys(own[0]!).map((step): StepResult => {
    const cryovm = column(own, step)!
    const below = column(floor, step)
    const ratio = below === undefined ? undefined : cryovm.median / below.median
    return { step, cryovm, floor: below, ratio, target: scenario.targets?.[step] }
  })
  return { name: scenario.name, description: scenario.description, runs, steps }
}

export const measure = async (scenario: Scenario, context: Context, runs: number): Promise<ScenarioResult> => {
  await scenario.prepare?.(context)
  try {
    return await measurePrepared(scenario, context, Math.min(runs, scenario.maximumRuns ?? runs))
  } finally {
    await scenario.finish?.()
  }
}
