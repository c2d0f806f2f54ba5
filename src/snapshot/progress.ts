/** One progress for work that is done in several steps. */

/** How far a dump has come. */
export interface DumpProgress {
  /** Bytes of guest memory dealt with so far. */
  readonly doneBytes: number
  readonly totalBytes: number
}

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
