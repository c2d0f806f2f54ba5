import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { MicroVm } from "../../src/index.ts"
import { type ChainShape, DIRTY_PERCENT, floorChain, saveChain, startFilled } from "../chains.ts"
import type { Floor } from "../floor.ts"
import { guestMib } from "../guest.ts"
import { machineFloor } from "../machine-floor.ts"
import { type Context, now, type Scenario } from "../scenario.ts"

const shapes: Readonly<Record<string, ChainShape>> = {
  flat: { layers: 0, operation: "pages" },
  "1 layer, pages": { layers: 1, operation: "pages" },
  "10 layers, pages": { layers: 10, operation: "pages" },
  "1 layer, runs of 16": { layers: 1, operation: "runs" },
  "10 layers, runs of 16": { layers: 10, operation: "runs" },
}

/** What a restore of ten layers may take, as a multiple of a flat one. */
const LAYERS_TARGET = 2

interface Saved {
  /** The directory of the newest snapshot. */
  readonly dir: string
  /** What the C program is told of the chain. */
  readonly floorPaths: readonly string[]
}

let floor: Floor | undefined
const chains = new Map<string, Saved>()

const folderOf = ({ folder }: Context): string => join(folder, "chain")

export const chain: Scenario = {
  name: "chain",
  description: `a guest restored, paused, from a full snapshot and the diffs over it, with ${DIRTY_PERCENT} % of its pages in all of these; C maps or reads the layers, whichever is quicker`,
  prepare: async (context) => {
    mkdirSync(folderOf(context))
    const filled = await startFilled(guestMib(context.memoryMib))
    try {
      for (const [step, shape] of Object.entries(shapes)) {
        const dir = join(folderOf(context), step.replaceAll(" ", "-"))
        const newest = await saveChain(filled, dir, shape)
        chains.set(step, { dir: newest, floorPaths: await floorChain(newest, `${dir}.runs`) })
      }
    } finally {
      await filled.vm.stop()
    }
    floor = await machineFloor(context, chains.get("flat")!.dir)
  },
  run: async () => {
    const steps: Record<string, number> = {}
    for (const [step, { dir }] of chains) {
      const start = now()
      const vm = await MicroVm.restore(dir)
      steps[step] = now() - start
      await vm.stop()
    }
    return steps
  },
  runFloor: async () => {
    const steps: Record<string, number> = {}
    for (const [step, { floorPaths }] of chains) {
      const { restore } = await floor!.measure("load")
      const { map = Number.POSITIVE_INFINITY, read } = await floor!.measure("laid", ...floorPaths)
      steps[step] = restore! + (step === "flat" ? 0 : Math.min(map, read!))
    }
    return steps
  },
  conclude: (steps) => {
    const flat = steps.find(({ step }) => step === "flat")!.cryovm.median
    return steps
      .filter(({ step }) => step !== "flat")
      .map(({ step, cryovm }) => ({
        name: `${step} / flat`,
        value: cryovm.median / flat,
        unit: "x",
        ...(shapes[step]!.layers === 10 ? { target: LAYERS_TARGET } : {}),
      }))
  },
  finish: async (context) => {
    await floor?.close()
    rmSync(folderOf(context), { recursive: true, force: true })
  },
}
