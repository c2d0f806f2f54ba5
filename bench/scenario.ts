/** What a benchmark consists of; one file each in `scenarios/`. */
import type { NativeAddon } from "../src/native.ts"
import type { Floor } from "./floor.ts"
import type { Inputs } from "./inputs.ts"
import type { StepResult } from "./measure.ts"

/** Nanoseconds by the name of the step. Both sides use the same names for the same work. */
export type Steps = Readonly<Record<string, number>>

export interface Context {
  readonly native: NativeAddon
  /** A prepared guest, from which both sides start. */
  readonly inputs: Inputs
  readonly floor: Floor
  readonly memoryMib: number
  /** An empty folder of this run, for files; removed at the end. */
  readonly folder: string
}

/** A figure that follows from the medians of the steps, or was found beside them. */
export interface Conclusion {
  readonly name: string
  readonly value: number
  /** `x` for a ratio. */
  readonly unit: string
  /** The most that it may be. */
  readonly target?: number
}

export interface Scenario {
  readonly name: string
  readonly description: string
  /** What it is compared with, where that is not plain C. */
  readonly peer?: string
  /** The most that a step may cost, as a multiple of the floor. */
  readonly targets?: Readonly<Record<string, number>>
  /** The floor's step that a step is compared with, where it has another name. */
  readonly comparedWith?: Readonly<Record<string, string>>
  /** Where a run takes so long that more would be too many. */
  readonly maximumRuns?: number
  /** Bytes that a step deals with. It then also tells GB/s, and is compared with memcpy of as much. */
  bytes?(context: Context): Readonly<Record<string, number>>
  /** Why it cannot be measured here, where it cannot. */
  unavailable?(): string | undefined
  /** Once, before the first measurement. */
  prepare?(context: Context): Promise<void>
  /** One measurement of cryovm. */
  run(context: Context): Promise<Steps>
  /** One measurement of plain C (or of the peer) doing the same; absent where there is nothing to compare with. */
  runFloor?(context: Context): Promise<Steps>
  /** What else there is to tell, from the results of the steps; before `finish`. */
  conclude?(steps: readonly StepResult[]): readonly Conclusion[]
  /** Once, at the end, also after a failure. */
  finish?(context: Context): Promise<void>
}

/** Nanoseconds of a monotonic clock. */
export const now = (): number => performance.now() * 1e6
