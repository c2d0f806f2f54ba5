/** Builds runs one behind the other, joining those that go on where the last one ends. */
import type { NativeRuns } from "../../native.ts"
import { RUN_NUMBERS, ZEROS } from "./runs.ts"

export class RunWriter {
  readonly #runs: Float64Array
  /** Where the next run goes. */
  #at = 0

  /** @param maximumRuns that will be added */
  constructor(maximumRuns: number) {
    this.#runs = new Float64Array(maximumRuns * RUN_NUMBERS)
  }

  /** Adds a run behind all others. */
  add(offset: number, bytes: number, file: number, fileOffset: number): void {
    const runs = this.#runs
    const last = this.#at - RUN_NUMBERS
    if (last >= 0 && runs[last + 2] === file) {
      const lastBytes = runs[last + 1] as number
      const goesOn = file === ZEROS || (runs[last + 3] as number) + lastBytes === fileOffset
      if (goesOn && (runs[last] as number) + lastBytes === offset) {
        runs[last + 1] = lastBytes + bytes
        return
      }
    }
    const at = this.#at
    runs[at] = offset
    runs[at + 1] = bytes
    runs[at + 2] = file
    runs[at + 3] = fileOffset
    this.#at = at + RUN_NUMBERS
  }

  /** What was added. Without a copy: nothing may be added afterwards. */
  runs(): NativeRuns {
    return this.#runs.subarray(0, this.#at)
  }
}
