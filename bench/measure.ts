/** Runs a scenario and its floor by turns, so that whatever else the machine does meets both alike. */
import type { Conclusion, Context, Scenario, Steps } from "./scenario.ts"
import { type Summary, summarize } from "./statistics.ts"

/** How fast a step was, by the bytes it dealt with. */
export interface Speed {
  readonly gigabytesPerSecond: number
  /** Its time as a multiple of that of memcpy of as much. */
  readonly timesMemcpy: number
}

export interface StepResult {
  readonly step: string
  readonly cryovm: Summary
  readonly floor: Summary | undefined
  /** Median of cryovm divided by median of the floor. */
  readonly ratio: number | undefined
  readonly target: number | undefined
  readonly bytes: number | undefined
  readonly cryovmSpeed: Speed | undefined
  readonly floorSpeed: Speed | undefined
}

export interface ScenarioResult {
  readonly name: string
  readonly description: string
  readonly runs: number
  readonly peer: string
  readonly steps: readonly StepResult[]
  readonly conclusions: readonly Conclusion[]
}

/** The most that memcpy is measured with: far more than any cache holds. */
const LARGEST_COPY_MIB = 256

const column = (runs: readonly Steps[], step: string): Summary | undefined => {
  const values = runs.map((run) => run[step]).filter((value) => value !== undefined)
  return values.length === 0 ? undefined : summarize(values)
}

/** Bytes a nanosecond of memcpy, which is GB/s. */
const copySpeed = async ({ floor, memoryMib }: Context): Promise<number> => {
  const mebibytes = Math.min(memoryMib, LARGEST_COPY_MIB)
  const { memcpy } = await floor.measure("memcpy", mebibytes)
  return (mebibytes * 2 ** 20) / memcpy!
}

interface Measured {
  readonly own: readonly Steps[]
  readonly floor: readonly Steps[]
  readonly copySpeeds: readonly number[]
}

const runByTurns = async (scenario: Scenario, context: Context, runs: number): Promise<Measured> => {
  const own: Steps[] = []
  const floor: Steps[] = []
  const copySpeeds: number[] = []
  // One more, whose figures are dropped: code is compiled and files come into the page cache.
  for (let run = -1; run < runs; run++) {
    const speed = scenario.bytes === undefined ? undefined : await copySpeed(context)
    const floorSteps = await scenario.runFloor?.(context)
    const steps = await scenario.run(context)
    if (run < 0) continue
    own.push(steps)
    if (floorSteps !== undefined) floor.push(floorSteps)
    if (speed !== undefined) copySpeeds.push(speed)
  }
  return { own, floor, copySpeeds }
}

const speedOf = (bytes: number | undefined, summary: Summary | undefined, copy: number): Speed | undefined => {
  if (bytes === undefined || summary === undefined) return undefined
  const gigabytesPerSecond = bytes / summary.median
  return { gigabytesPerSecond, timesMemcpy: copy / gigabytesPerSecond }
}

const describeSteps = (scenario: Scenario, context: Context, measured: Measured): readonly StepResult[] => {
  const bytesOf = scenario.bytes?.(context) ?? {}
  const copy = measured.copySpeeds.length === 0 ? 0 : summarize(measured.copySpeeds).median
  return Object.keys(measured.own[0]!).map((step) => {
    const cryovm = column(measured.own, step)!
    const floor = column(measured.floor, scenario.comparedWith?.[step] ?? step)
    const bytes = bytesOf[step]
    return {
      step,
      cryovm,
      floor,
      ratio: floor === undefined ? undefined : cryovm.median / floor.median,
      target: scenario.targets?.[step],
      bytes,
      cryovmSpeed: speedOf(bytes, cryovm, copy),
      floorSpeed: speedOf(bytes, floor, copy),
    }
  })
}

export const measure = async (scenario: Scenario, context: Context, wantedRuns: number): Promise<ScenarioResult> => {
  const { name, description, peer = "plain C" } = scenario
  const runs = Math.min(wantedRuns, scenario.maximumRuns ?? wantedRuns)
  try {
    await scenario.prepare?.(context)
    const steps = describeSteps(scenario, context, await runByTurns(scenario, context, runs))
    return { name, description, runs, peer, steps, conclusions: scenario.conclude?.(steps) ?? [] }
  } finally {
    await scenario.finish?.(context)
  }
}
