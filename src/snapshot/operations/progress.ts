/** One progress for work that is done in several steps. */
import type { DumpProgress } from "../save/dump-regions.ts"

export type OnProgress = (progress: DumpProgress) => void

export interface StepProgress {
  /** Bytes of the step under way that are dealt with. */
  readonly at: (bytes: number) => void
  /** The step under way is over; it was of so many bytes. */
  readonly finish: (bytes: number) => void
}

/** @param totalBytes of all steps */
export const stepProgress = (totalBytes: number, onProgress: OnProgress = () => {}): StepProgress => {
  let finishedBytes = 0
  const at = (bytes: number) => onProgress({ doneBytes: finishedBytes + bytes, totalBytes })
  at(0)
  return {
    at,
    finish: (bytes) => {
      finishedBytes += bytes
      at(0)
    },
  }
}
