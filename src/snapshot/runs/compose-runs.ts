/**
 * The runs of a chain's layers as those of one: for every page the newest layer that has it.
 *
 * Memory is gone through in windows. In each, the layers are painted over each other page by page, the oldest first, into
 * a small map that stays in the processor's cache, and the map is read off as runs. That looks at a run once, however many
 * layers there are, where merging them pair by pair compares it again in every round (measured: half of the time for
 * 10 layers, a third for 256). Windows that nothing touches or that a single run fills are passed at once, so that the
 * work is bounded by the runs and not by the memory.
 */
import type { NativeRuns } from "../../native.ts"
import { RunWriter } from "./run-writer.ts"
import { PAGE_BYTES, RUN_NUMBERS, ZEROS } from "./runs.ts"

const WINDOW_PAGES = 1024
const WINDOW_BYTES = WINDOW_PAGES * PAGE_BYTES

const windowAt = (offset: number): number => Math.floor(offset / WINDOW_BYTES) * WINDOW_BYTES

/** In the place of a file: no layer has the page. */
const NOTHING = -2

/** One layer, and how far it is gone through. */
class Layer {
  readonly runs: NativeRuns
  /** The first run that does not end in front of the window. */
  #at = 0

  constructor(runs: NativeRuns) {
    this.runs = runs
  }

  /** Passes the runs in front of `offset`. @returns the run that is or comes next; `runs.length` where there is none */
  passTo(offset: number): number {
    const { runs } = this
    let at = this.#at
    while (at < runs.length && (runs[at] as number) + (runs[at + 1] as number) <= offset) at += RUN_NUMBERS
    this.#at = at
    return at
  }
}

/** Where the pages of a window come from. */
class WindowMap {
  readonly #files = new Int32Array(WINDOW_PAGES)
  readonly #fileOffsets = new Float64Array(WINDOW_PAGES)

  clear(): void {
    this.#files.fill(NOTHING)
  }

  /** Paints what a layer has in the window at `start` over what is there. */
  paint(layer: Layer, file: number, start: number): void {
    const { runs } = layer
    const files = this.#files
    const fileOffsets = this.#fileOffsets
    for (let at = layer.passTo(start); at < runs.length; at += RUN_NUMBERS) {
      const offset = runs[at] as number
      const first = offset > start ? (offset - start) / PAGE_BYTES : 0
      if (first >= WINDOW_PAGES) return
      const end = Math.min((offset + (runs[at + 1] as number) - start) / PAGE_BYTES, WINDOW_PAGES)
      if (runs[at + 2] === ZEROS) {
        files.fill(ZEROS, first, end)
        continue
      }
      let fileOffset = (runs[at + 3] as number) + start + first * PAGE_BYTES - offset
      for (let page = first; page < end; page++) {
        files[page] = file
        fileOffsets[page] = fileOffset
        fileOffset += PAGE_BYTES
      }
    }
  }

  /** Adds the pages as runs. */
  addTo(into: RunWriter, start: number): void {
    const files = this.#files
    const fileOffsets = this.#fileOffsets
    for (let page = 0; page < WINDOW_PAGES; page++) {
      const file = files[page] as number
      if (file === NOTHING) continue
      const fileOffset = file === ZEROS ? 0 : (fileOffsets[page] as number)
      into.add(start + page * PAGE_BYTES, PAGE_BYTES, file, fileOffset)
    }
  }
}

/** Goes through all layers together, from the beginning of memory to its end. */
class Sweep {
  readonly #layers: readonly Layer[]
  readonly #into: RunWriter
  readonly #map = new WindowMap()
  /** Where the next window is. */
  #start = 0

  constructor(layers: readonly NativeRuns[], into: RunWriter) {
    this.#layers = layers.map((runs) => new Layer(runs))
    this.#into = into
  }

  /** Deals with one window, or with as many as can be passed. @returns false at the end of memory */
  step(): boolean {
    const start = this.#start
    /** Where the next run of a layer that was looked at begins. */
    let next = Number.POSITIVE_INFINITY
    for (let index = this.#layers.length - 1; index >= 0; index--) {
      const layer = this.#layers[index] as Layer
      const at = layer.passTo(start)
      if (at === layer.runs.length) continue
      const offset = layer.runs[at] as number
      const end = offset + (layer.runs[at + 1] as number)
      if (offset <= start && end >= start + WINDOW_BYTES) {
        const alone = windowAt(Math.min(next, end))
        if (alone > start) this.#addRun(layer, index, at, alone)
        else this.#addWindow(index)
        return true
      }
      next = Math.min(next, offset)
    }
    if (next === Number.POSITIVE_INFINITY) return false
    if (next >= start + WINDOW_BYTES) this.#start = windowAt(next)
    else this.#addWindow(0)
    return true
  }

  /** What is under the run at `at` does not matter, and nothing is over it up to `end`. */
  #addRun({ runs }: Layer, index: number, at: number, end: number): void {
    const start = this.#start
    const isZeros = runs[at + 2] === ZEROS
    const fileOffset = isZeros ? 0 : (runs[at + 3] as number) + start - (runs[at] as number)
    this.#into.add(start, end - start, isZeros ? ZEROS : index, fileOffset)
    this.#start = end
  }

  /** @param oldest the layer below which nothing matters */
  #addWindow(oldest: number): void {
    this.#map.clear()
    for (let index = oldest; index < this.#layers.length; index++) {
      this.#map.paint(this.#layers[index] as Layer, index, this.#start)
    }
    this.#map.addTo(this.#into, this.#start)
    this.#start += WINDOW_BYTES
  }
}

/**
 * Composes the layers of a chain, the oldest first, each as `decodeRunTable` gives it: ascending, apart, of file 0 and of
 * zeros.
 * @returns runs whose file is the index of their layer; neighbours that go on in the same file are one
 */
export const composeRuns = (layers: readonly NativeRuns[]): NativeRuns => {
  const given = layers.reduce((sum, runs) => sum + runs.length / RUN_NUMBERS, 0)
  // A run ends where one of the given begins or ends.
  const into = new RunWriter(2 * given)
  const sweep = new Sweep(layers, into)
  while (sweep.step());
  return into.runs()
}

/** The first run that ends behind `offset`. */
const firstBehind = (runs: NativeRuns, offset: number): number => {
  let low = 0
  let high = runs.length / RUN_NUMBERS
  while (low < high) {
    const middle = (low + high) >>> 1
    const end = (runs[middle * RUN_NUMBERS] as number) + (runs[middle * RUN_NUMBERS + 1] as number)
    if (end > offset) high = middle
    else low = middle + 1
  }
  return low * RUN_NUMBERS
}

/** What of `runs` lies in `[offset, offset + bytes)`, which is not empty, by offsets from there. */
export const runsWithin = (runs: NativeRuns, offset: number, bytes: number): NativeRuns => {
  const end = offset + bytes
  const first = firstBehind(runs, offset)
  const into = new RunWriter((firstBehind(runs, end) - first) / RUN_NUMBERS + 1)
  for (let at = first; at < runs.length && (runs[at] as number) < end; at += RUN_NUMBERS) {
    const runOffset = runs[at] as number
    const from = Math.max(runOffset, offset)
    const to = Math.min(runOffset + (runs[at + 1] as number), end)
    const file = runs[at + 2] as number
    const fileOffset = file === ZEROS ? 0 : (runs[at + 3] as number) + from - runOffset
    into.add(from - offset, to - from, file, fileOffset)
  }
  return into.runs()
}
