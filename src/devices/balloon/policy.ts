/**
 * A policy for the balloon: keep the guest's available memory between two marks.
 *
 * Below the low mark the balloon gives back, at once and by as much as brings the guest to the middle between the
 * marks. Above the high mark it takes, a step at a time, never beyond the middle. Between them nothing moves: that is
 * the hysteresis. A guest that fell below the low mark soon after the balloon had grown was asked for too much, so the
 * balloon then waits before it grows again, twice as long at every such time; a quiet while makes it forget. The same
 * goes for a guest that does not follow.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { DeviceClosed } from "../device.ts"
import { PAGES_A_MIB } from "./constants.ts"
import type { Balloon, StatisticsError } from "./control.ts"
import { BalloonPolicyInvalid, type BalloonTargetInvalid } from "./errors.ts"

const MIB = 2 ** 20

export interface KeepAvailableOptions {
  /** Less available memory than this makes the balloon smaller, MiB. */
  readonly lowMib: number
  /** More available memory than this makes the balloon larger, MiB. */
  readonly highMib: number
  /** Bounds of the balloon's own size, MiB; from nothing to the guest's memory less `highMib` by default. */
  readonly minTargetMib?: number
  readonly maxTargetMib?: number
  /** Most that the balloon grows at once, MiB; an eighth of the guest's memory by default. */
  readonly stepMib?: number
  /** Seconds between two looks at the guest, each with fresh statistics; 5 by default. */
  readonly everySeconds?: number
  /** Seconds until the balloon may grow again after it had to give back; 30 by default, doubled up to 16 times that. */
  readonly backOffSeconds?: number
  /** Told of every decision to move. */
  readonly onMove?: (move: PolicyMove) => void
}

export interface PolicyMove {
  readonly fromMib: number
  readonly toMib: number
  readonly availableMib: number
}

export type PolicyError = StatisticsError | BalloonPolicyInvalid | BalloonTargetInvalid | DeviceClosed

/** The options with every default filled in; times in milliseconds. */
export interface PolicyRules {
  readonly lowMib: number
  readonly highMib: number
  readonly minTargetMib: number
  readonly maxTargetMib: number
  readonly stepMib: number
  readonly everyMs: number
  readonly backOffMs: number
}

/** Largest multiple of the first back-off. */
const MAX_BACK_OFF = 16

/** What the policy remembers from one look to the next. */
export interface PolicyMemory {
  /** When the balloon was last made larger, and until when it may not be; milliseconds of the clock. */
  readonly grownAt: number
  readonly waitUntil: number
  /** The next back-off. */
  readonly backOffMs: number
}

/** One look at the guest. */
export interface PolicyReading {
  readonly now: number
  readonly availableMib: number
  readonly targetMib: number
  readonly actualMib: number
}

export const initialMemory = (rules: PolicyRules): PolicyMemory => ({
  grownAt: Number.NEGATIVE_INFINITY,
  waitUntil: Number.NEGATIVE_INFINITY,
  backOffMs: rules.backOffMs,
})

const wholePages = (mib: number): number => Math.floor(mib * PAGES_A_MIB) / PAGES_A_MIB

const backedOff = (memory: PolicyMemory, rules: PolicyRules, now: number): PolicyMemory => ({
  ...memory,
  waitUntil: now + memory.backOffMs,
  backOffMs: Math.min(2 * memory.backOffMs, MAX_BACK_OFF * rules.backOffMs),
})

/** Decides: a new target, or `undefined` to leave it. Pure. */
export const decide = (
  rules: PolicyRules,
  memory: PolicyMemory,
  reading: PolicyReading,
): { readonly memory: PolicyMemory; readonly targetMib: number | undefined } => {
  const { now, availableMib, targetMib, actualMib } = reading
  const middle = (rules.lowMib + rules.highMib) / 2
  const bounded = (mib: number): number => wholePages(Math.min(Math.max(mib, rules.minTargetMib), rules.maxTargetMib))
  const quiet = now - memory.waitUntil > 2 * memory.backOffMs
  const rested = quiet ? { ...memory, backOffMs: rules.backOffMs } : memory

  if (availableMib < rules.lowMib) {
    // From what the guest has really given: a target that it has not reached yet holds nothing of it.
    const smaller = Math.min(bounded(Math.min(actualMib, targetMib) - (middle - availableMib)), targetMib)
    const soon = now - memory.grownAt <= 2 * rules.backOffMs
    // Once for each time that the balloon grew: a guest that stays short for a while is not worse than one that was.
    const after = soon
      ? { ...backedOff(rested, rules, now), grownAt: Number.NEGATIVE_INFINITY }
      : { ...rested, waitUntil: Math.max(rested.waitUntil, now + rules.backOffMs) }
    return { memory: after, targetMib: smaller < targetMib ? smaller : undefined }
  }
  if (availableMib <= rules.highMib || now < memory.waitUntil) return { memory: rested, targetMib: undefined }
  if (actualMib < targetMib) {
    // It does not follow. Asking for more would not help.
    return { memory: backedOff(rested, rules, now), targetMib: undefined }
  }
  const larger = bounded(targetMib + Math.min(availableMib - middle, rules.stepMib))
  if (larger <= targetMib) return { memory: rested, targetMib: undefined }
  return { memory: { ...rested, grownAt: now }, targetMib: larger }
}

/** Fills in the defaults, or says what contradicts itself. */
export const policyRules = (
  options: KeepAvailableOptions,
  memoryMib: number,
): Effect.Effect<PolicyRules, BalloonPolicyInvalid> => {
  const rules: PolicyRules = {
    lowMib: options.lowMib,
    highMib: options.highMib,
    minTargetMib: options.minTargetMib ?? 0,
    maxTargetMib: options.maxTargetMib ?? Math.max(memoryMib - options.highMib, options.minTargetMib ?? 0),
    stepMib: options.stepMib ?? memoryMib / 8,
    everyMs: 1000 * (options.everySeconds ?? 5),
    backOffMs: 1000 * (options.backOffSeconds ?? 30),
  }
  const reasons = [
    rules.lowMib >= 0 && rules.lowMib < rules.highMib && rules.highMib <= memoryMib
      ? []
      : [`the marks have to be 0 <= lowMib < highMib <= ${memoryMib}, the guest's memory`],
    rules.minTargetMib >= 0 && rules.minTargetMib <= rules.maxTargetMib && rules.maxTargetMib <= memoryMib
      ? []
      : [`the bounds have to be 0 <= minTargetMib <= maxTargetMib <= ${memoryMib}`],
    rules.stepMib > 0 ? [] : ["stepMib has to be above 0"],
    rules.everyMs >= 100 && rules.everyMs < Number.POSITIVE_INFINITY ? [] : ["everySeconds has to be 0.1 or more"],
    rules.backOffMs >= 0 && rules.backOffMs < Number.POSITIVE_INFINITY ? [] : ["backOffSeconds has to be 0 or more"],
  ].flat()
  if (reasons.length === 0) return Effect.succeed(rules)
  return Effect.fail(new BalloonPolicyInvalid({ message: `the policy is not valid: ${reasons.join("; ")}` }))
}

/** What the policy needs of a balloon. */
export type PolicyBalloon = Pick<Balloon, "target" | "actual" | "statistics" | "setTarget">

/** Looks at the guest again and again, and moves the target. Ends only by interruption or failure. */
export const keepAvailable = (
  balloon: PolicyBalloon,
  memoryMib: number,
  options: KeepAvailableOptions,
): Effect.Effect<never, PolicyError> =>
  Effect.gen(function* () {
    const rules = yield* policyRules(options, memoryMib)
    let memory = initialMemory(rules)
    const look = Effect.gen(function* () {
      const statistics = yield* balloon.statistics({ refresh: true })
      const available = statistics.availableMemory ?? statistics.freeMemory
      if (available === undefined) return
      const reading: PolicyReading = {
        now: yield* Clock.currentTimeMillis,
        availableMib: available / MIB,
        targetMib: yield* balloon.target,
        actualMib: yield* balloon.actual,
      }
      const decision = decide(rules, memory, reading)
      memory = decision.memory
      if (decision.targetMib === undefined) return
      yield* balloon.setTarget(decision.targetMib)
      options.onMove?.({
        fromMib: reading.targetMib,
        toMib: decision.targetMib,
        availableMib: reading.availableMib,
      })
    })
    yield* Effect.repeat(look, Schedule.spaced(rules.everyMs))
    return yield* Effect.never
  })
