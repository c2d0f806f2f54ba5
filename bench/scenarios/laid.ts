import { closeSync, openSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { NativeRuns } from "../../src/native.ts"
import { PAGE_BYTES, RUN_NUMBERS } from "../../src/snapshot/runs/runs.ts"
import { writeDataFile } from "../data-file.ts"
import { MEBIBYTE } from "../pages.ts"
import { type Context, now, type Scenario, type Steps } from "../scenario.ts"

const PERCENT = 10

interface Shape {
  readonly step: string
  readonly layers: number
  /** Pages of a run; runs are evenly spread, one after the other in another layer. */
  readonly runPages: number
}

const shapes: readonly Shape[] = [
  { step: "flat", layers: 0, runPages: 1 },
  { step: "1 layer, pages", layers: 1, runPages: 1 },
  { step: "10 layers, pages", layers: 10, runPages: 1 },
  { step: "1 layer, runs of 16", layers: 1, runPages: 16 },
  { step: "10 layers, runs of 16", layers: 10, runPages: 16 },
]

const composeRuns = ({ layers, runPages }: Shape, memoryBytes: number): NativeRuns => {
  const bytes = runPages * PAGE_BYTES
  const count = layers === 0 ? 0 : Math.floor(((memoryBytes / bytes) * PERCENT) / 100)
  const runs = new Float64Array(count * RUN_NUMBERS)
  for (let index = 0; index < count; index++) {
    const file = index % layers
    const offset = index * (100 / PERCENT) * bytes
    runs.set([offset, bytes, file, Math.floor(index / layers) * bytes], index * RUN_NUMBERS)
  }
  return runs
}

const folderOf = ({ folder }: Context): string => join(folder, "laid")
const basePath = (context: Context): string => `${folderOf(context)}-base.img`
const runsPath = (context: Context, step: string): string => `${folderOf(context)}-${step.replaceAll(" ", "-")}.runs`
const layerPaths = (context: Context, layers: number): readonly string[] =>
  Array.from({ length: layers }, (_, layer) => `${folderOf(context)}-layer-${layer}.diff`)

/** Layers of any shape are parts of the same files. */
const LAYERS = 10

const allPaths = (context: Context): readonly string[] => [
  basePath(context),
  ...layerPaths(context, LAYERS),
  ...shapes.map(({ step }) => runsPath(context, step)),
]

const mapOnce = (context: Context, shape: Shape): number => {
  const { native, memoryMib } = context
  const size = memoryMib * MEBIBYTE
  const base = openSync(basePath(context), "r")
  const fds = layerPaths(context, shape.layers).map((path) => openSync(path, "r"))
  const runs = composeRuns(shape, size)
  const start = now()
  const laid = shape.layers === 0 ? {} : { laid: { fds, runs } }
  const memory = native.mapMemory(size, { kind: "file", fd: base, offset: 0, ...laid })
  // Only what looks at the memory waits for what is still being copied.
  memory.window(0, PAGE_BYTES)
  const took = now() - start
  memory.close()
  for (const fd of [base, ...fds]) closeSync(fd)
  return took
}

export const laid: Scenario = {
  name: "laid",
  description: `memory of a flat file and the layers over it, which hold ${PERCENT} % of its pages in all, until it can be used; C maps or reads the layers, whichever is quicker`,
  prepare: async (context) => {
    const size = context.memoryMib * MEBIBYTE
    writeDataFile(basePath(context), size)
    // One layer may have all of it.
    const layerBytes = Math.ceil((size * PERCENT) / 100 / MEBIBYTE) * MEBIBYTE
    for (const path of layerPaths(context, LAYERS)) writeDataFile(path, layerBytes)
    for (const shape of shapes) writeFileSync(runsPath(context, shape.step), composeRuns(shape, size))
  },
  run: async (context) => Object.fromEntries(shapes.map((shape) => [shape.step, mapOnce(context, shape)])),
  runFloor: async (context) => {
    const steps: Record<string, number> = {}
    for (const { step, layers } of shapes) {
      const paths = [basePath(context), runsPath(context, step), ...layerPaths(context, layers)]
      const { map = Number.POSITIVE_INFINITY, read }: Steps = await context.floor.measure("laid", ...paths)
      steps[step] = Math.min(map, read!)
    }
    return steps
  },
  finish: async (context) => {
    for (const path of allPaths(context)) rmSync(path, { force: true })
  },
}
