import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { flatten as flattenSnapshot } from "../../src/index.ts"
import { DIRTY_PERCENT, floorChain, saveChain, startFilled } from "../chains.ts"
import { fillableMib, guestMib } from "../guest.ts"
import { MEBIBYTE } from "../pages.ts"
import { type Context, now, type Scenario } from "../scenario.ts"

const LAYERS = 10

let newest: string | undefined
/** What the C program is told of the chain: base, runs, layers. */
let floorPaths: readonly string[] = []

const folderOf = ({ folder }: Context): string => join(folder, "flatten")

const flattenOnce = async (context: Context, verify: boolean): Promise<number> => {
  const out = join(folderOf(context), "flat")
  const start = now()
  await flattenSnapshot(newest!, out, { verify })
  const took = now() - start
  rmSync(out, { recursive: true })
  return took
}

export const flatten: Scenario = {
  name: "flatten",
  description: `a full snapshot and ${LAYERS} diffs over it, with ${DIRTY_PERCENT} % of its pages (single ones) in these, made into one full snapshot, durable; with its source verified before, and without. GB/s of data`,
  maximumRuns: 7,
  comparedWith: { verified: "durable", "not verified": "durable" },
  bytes: ({ memoryMib }) => {
    const data = fillableMib(guestMib(memoryMib)) * MEBIBYTE
    return { verified: data, "not verified": data }
  },
  prepare: async (context) => {
    mkdirSync(folderOf(context))
    const filled = await startFilled(guestMib(context.memoryMib))
    try {
      const shape = { layers: LAYERS, operation: "pages" } as const
      newest = await saveChain(filled, join(folderOf(context), "saved"), shape)
    } finally {
      await filled.vm.stop()
    }
    floorPaths = await floorChain(newest, join(folderOf(context), "runs"))
  },
  run: async (context) => ({
    verified: await flattenOnce(context, true),
    "not verified": await flattenOnce(context, false),
  }),
  runFloor: (context) => context.floor.measure("flatten", join(folderOf(context), "floor.img"), ...floorPaths),
  finish: async (context) => {
    rmSync(folderOf(context), { recursive: true, force: true })
  },
}
