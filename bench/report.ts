/** The table that people read. */
import type { ScenarioResult, StepResult } from "./measure.ts"
import type { Summary } from "./statistics.ts"

const time = (nanoseconds: number): string => {
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toFixed(1)} us`
  if (nanoseconds < 1e9) return `${(nanoseconds / 1e6).toFixed(2)} ms`
  return `${(nanoseconds / 1e9).toFixed(2)} s`
}

const cell = (summary: Summary | undefined): string =>
  summary === undefined ? "-" : `${time(summary.median)} (${time(summary.lower)} - ${time(summary.upper)})`

const verdict = ({ ratio, target }: StepResult): string => {
  if (ratio === undefined) return ""
  const text = `${ratio.toFixed(2)} x`
  if (target === undefined) return text
  return `${text}  ${ratio <= target ? "within" : "ABOVE"} the target of ${target} x`
}

export const describeScenario = ({ name, description, runs, steps }: ScenarioResult): string =>
  [
    `${name}: ${description} (median of ${runs} runs, with quartiles)`,
    `  ${"".padEnd(20)}${"cryovm".padEnd(36)}${"plain C".padEnd(36)}ratio`,
    ...steps.map(
      (step) =>
        `  ${step.step.padEnd(20)}${cell(step.cryovm).padEnd(36)}${cell(step.floor).padEnd(36)}${verdict(step)}`,
    ),
    "",
  ].join("\n")

export const isWithinTarget = ({ ratio, target }: StepResult): boolean =>
  ratio === undefined || target === undefined || ratio <= target
