/** What a benchmark consists of; one file each in `scenarios/`. */
import type { NativeAddon } from "../src/native.ts"
import type { Floor } from "./floor.ts"
import type { Inputs } from "./inputs.ts"

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

export interface Scenario {
  readonly name: string
  readonly description: string
  /** The most that a step may cost, as a multiple of the floor. */
  readonly targets?: Readonly<Record<string, number>>
  /** Where a run takes so long that more would be too many. */
  readonly maximumRuns?: number
  /** Once, before the first measurement. */
  prepare?(context: Context): Promise<void>
  /** One measurement of cryovm. */
  run(context: Context): Promise<Steps>
  /** One measurement of plain C doing the same; absent where there is nothing to compare with. */
  runFloor?(context: Context): Promise<Steps>
  /** Once, at the end. */
  finish?(): Promise<void>
}

/** Nanoseconds of a monotonic clock. */
export const now = (): number => performance.now() * 1e6
