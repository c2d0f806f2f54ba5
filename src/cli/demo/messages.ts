/** What the demo's processes tell the one that shows it. Sent with "advanced" serialization, so 64-bit numbers fit. */
import type { DumpProgress, SnapshotInfo } from "../../index.ts"
import type { ErrorDescription } from "../output/describe-error.ts"

/** One reading of the counter in the guest. */
export interface Reading {
  readonly value: bigint
  /** Random, made once when the guest booted. */
  readonly bootNonce: bigint
  /** The guest's CLOCK_MONOTONIC, nanoseconds. */
  readonly monotonic: bigint
}

export type DemoMessage =
  /** The newest line of the console of a guest that boots. */
  | { readonly type: "console"; readonly line: string }
  | {
      readonly type: "booted"
      readonly kernelRelease: string
      readonly vcpus: number
      readonly memoryMib: number
      readonly milliseconds: number
    }
  | { readonly type: "counted"; readonly first: Reading; readonly last: Reading }
  | { readonly type: "paused"; readonly milliseconds: number }
  | { readonly type: "saving"; readonly progress: DumpProgress }
  | { readonly type: "saved"; readonly info: SnapshotInfo; readonly milliseconds: number }
  | {
      readonly type: "restored"
      readonly restoreMilliseconds: number
      readonly resumeMilliseconds: number
      readonly answerMilliseconds: number
      readonly first: Reading
      readonly last: Reading
      readonly residentBytes: number
    }
  | {
      readonly type: "ran"
      readonly command: string
      readonly output: string
      readonly exitCode: number
      readonly milliseconds: number
    }
  | {
      readonly type: "cloned"
      readonly milliseconds: number
      readonly clones: readonly Clone[]
      readonly problems: readonly string[]
    }
  | { readonly type: "failed"; readonly error: ErrorDescription }

/** One of the machines restored at the same time from the same snapshot. */
export interface Clone {
  readonly name: string
  /** From the call of `restore` to the guest's first answer. */
  readonly milliseconds: number
  /** That answer. */
  readonly beginning: Reading
  /** A while later, with a pause between the two. */
  readonly first: Reading
  readonly last: Reading
  /** What it read from the file that each clone wrote its own name to. */
  readonly note: string
  readonly residentBytes: number
}

/** Milliseconds between two ticks of the counter. */
export const TICK_MS = 50

/** The hidden subcommand that the demo's own processes run. */
export const LIFE_COMMAND = "demo-life"
