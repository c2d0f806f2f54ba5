/** The table that people read. */
import type { ScenarioResult, Speed, StepResult } from "./measure.ts"
import type { Conclusion } from "./scenario.ts"
import type { Summary } from "./statistics.ts"

const time = (nanoseconds: number): string => {
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toFixed(1)} us`
  if (nanoseconds < 1e9) return `${(nanoseconds / 1e6).toFixed(2)} ms`
  return `${(nanoseconds / 1e9).toFixed(2)} s`
}

const cell = (summary: Summary | undefined): string =>
  summary === undefined ? "-" : `${time(summary.median)} (${time(summary.lower)} - ${time(summary.upper)})`

const isAbove = (value: number | undefined, target: number | undefined): boolean =>
  value !== undefined && target !== undefined && value > target

const verdict = (value: number | undefined, target: number | undefined): string =>
  value === undefined || target === undefined
    ? ""
    : `${isAbove(value, target) ? "ABOVE" : "within"} the target of ${target} x`

const speedCell = (speed: Speed | undefined): string =>
  speed === undefined ? "" : `${speed.gigabytesPerSecond.toFixed(2)} GB/s, ${speed.timesMemcpy.toFixed(1)} x`

/** The columns about bytes are only there where a scenario tells of bytes. */
const lineOf = (cells: readonly string[], withSpeed: boolean): string => {
  const [step = "", cryovm = "", floor = "", ratio = "", speed = "", floorSpeed = "", target = ""] = cells
  const speeds = withSpeed ? `${speed.padEnd(20)}${floorSpeed.padEnd(20)}` : ""
  return `  ${step.padEnd(28)}${cryovm.padEnd(36)}${floor.padEnd(36)}${ratio.padEnd(10)}${speeds}${target}`.trimEnd()
}

const stepLine = (step: StepResult, withSpeed: boolean): string => {
  const { ratio, target } = step
  const ratioCell = ratio === undefined ? "" : `${ratio.toFixed(2)} x`
  const times = [step.step, cell(step.cryovm), cell(step.floor), ratioCell]
  return lineOf([...times, speedCell(step.cryovmSpeed), speedCell(step.floorSpeed), verdict(ratio, target)], withSpeed)
}

const conclusionLine = ({ name, value, unit, target }: Conclusion): string =>
  `  ${name}: ${Number(value.toPrecision(3))} ${unit}  ${verdict(value, target)}`.trimEnd()

export const describeScenario = (result: ScenarioResult): string => {
  const { name, description, runs, peer, steps, conclusions } = result
  const withSpeed = steps.some(({ bytes }) => bytes !== undefined)
  return [
    `${name}: ${description} (median of ${runs} runs, with quartiles)`,
    lineOf(["", "cryovm", peer, "ratio", "cryovm, memcpy", `${peer}, memcpy`], withSpeed),
    ...steps.map((step) => stepLine(step, withSpeed)),
    ...conclusions.map(conclusionLine),
    "",
  ].join("\n")
}

export const isWithinTargets = ({ steps, conclusions }: ScenarioResult): boolean =>
  !steps.some(({ ratio, target }) => isAbove(ratio, target)) &&
  !conclusions.some(({ value, target }) => isAbove(value, target))
