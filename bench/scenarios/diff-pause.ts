import { mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { type FilledGuest, startFilled } from "../chains.ts"
import { fitLine, type Point } from "../fit.ts"
import type { Floor } from "../floor.ts"
import { fillableMib, guestMib } from "../guest.ts"
import { machineFloor } from "../machine-floor.ts"
import type { StepResult } from "../measure.ts"
import type { Conclusion, Context, Scenario, Steps } from "../scenario.ts"
import type { Summary } from "../statistics.ts"

/** Of the memory size that the benchmark is told. */
const sizeFactors = [0.5, 1, 2]
const dirtySizes = [1, 4, 16, 64]

/** A guest of one size, ours and that of plain C, which goes on from our full snapshot. */
interface Pair {
  readonly memoryMib: number
  readonly own: FilledGuest
  readonly floor: Floor
  /** Our snapshots' directories; the last is the parent of the next. */
  readonly dirs: string[]
}

const pairs: Pair[] = []

const folderOf = ({ folder }: Context): string => join(folder, "diff-pause")

const stepOf = (memoryMib: number, dirtyMib: number): string => `${memoryMib} MiB, dirty ${dirtyMib} MiB`

const dirtyOf = (memoryMib: number): readonly number[] => dirtySizes.filter((mib) => mib <= fillableMib(memoryMib) / 2)

const startPair = async (context: Context, memoryMib: number): Promise<Pair> => {
  const own = await startFilled(memoryMib)
  const dir = join(folderOf(context), `${memoryMib}-0`)
  await own.vm.snapshot({ dir })
  await own.vm.pause()
  const pair = { memoryMib, own, floor: await machineFloor(context, dir), dirs: [dir] }
  pairs.push(pair)
  return pair
}

const pauseOwn = async (context: Context, { memoryMib, own, dirs }: Pair, dirtyMib: number): Promise<number> => {
  await own.vm.resume()
  await own.guest.command("pages", dirtyMib)
  const dir = join(folderOf(context), `${memoryMib}-${dirs.length}`)
  const { milliseconds, writtenBytes } = await own.vm.snapshot({ dir, type: "diff", parent: dirs.at(-1)! })
  // While it waits it takes a processor, which others are measured on.
  await own.vm.pause()
  dirs.push(dir)
  // The guest writes to its own data and stack, too.
  if (Math.round(writtenBytes / 2 ** 20) !== dirtyMib) throw new Error(`${writtenBytes} bytes of ${dirtyMib} MiB`)
  return milliseconds.paused * 1e6
}

const pauseFloor = async (context: Context, { floor }: Pair, dirtyMib: number): Promise<number> => {
  const { paused, bytes } = await floor.measure("dirty", join(folderOf(context), "floor.diff"), dirtyMib)
  if (Math.round(bytes! / 2 ** 20) !== dirtyMib) throw new Error(`${bytes} bytes of ${dirtyMib} MiB in plain C`)
  return paused!
}

const forAll = async (context: Context, pause: typeof pauseOwn): Promise<Steps> => {
  const steps: Record<string, number> = {}
  for (const pair of pairs) {
    for (const dirtyMib of dirtyOf(pair.memoryMib)) {
      steps[stepOf(pair.memoryMib, dirtyMib)] = await pause(context, pair, dirtyMib)
    }
  }
  return steps
}

const fitOf = (name: string, points: readonly Point[]): readonly Conclusion[] => {
  const line = fitLine(points)
  if (line === undefined) return []
  return [
    { name: `${name}: a`, value: line.intercept, unit: "ms" },
    { name: `${name}: b`, value: line.slope, unit: "ms/MiB" },
  ]
}

/** The line through the medians of each guest size, and through all of them. */
const conclude = (steps: readonly StepResult[]): readonly Conclusion[] => {
  const sides: Readonly<Record<string, (step: StepResult) => Summary | undefined>> = {
    cryovm: ({ cryovm }) => cryovm,
    "plain C": ({ floor }) => floor,
  }
  return Object.entries(sides).flatMap(([side, summaryOf]) => {
    const pointsOf = ({ memoryMib }: Pair): readonly Point[] =>
      dirtyOf(memoryMib).flatMap((dirtyMib) => {
        const step = steps.find((each) => each.step === stepOf(memoryMib, dirtyMib))
        const summary = step && summaryOf(step)
        return summary === undefined ? [] : [{ x: dirtyMib, y: summary.median / 1e6 }]
      })
    return [
      ...pairs.flatMap((pair) =>
        fitOf(`pause of ${side} = a + b x dirty MiB, ${pair.memoryMib} MiB guest`, pointsOf(pair)),
      ),
      ...fitOf(`pause of ${side} = a + b x dirty MiB, every guest`, pairs.flatMap(pointsOf)),
    ]
  })
}

export const diffPause: Scenario = {
  name: "diff-pause",
  description:
    "how long a diff snapshot keeps the guest from running: state, dirty log, the dirty pages (single, evenly spread) packed into a file",
  maximumRuns: 7, // every run adds to the chain, and to the disk
  prepare: async (context) => {
    mkdirSync(folderOf(context))
    pairs.length = 0
    const sizes = new Set(sizeFactors.map((factor) => guestMib(Math.round(context.memoryMib * factor))))
    for (const size of sizes) await startPair(context, size)
  },
  run: (context) => forAll(context, pauseOwn),
  runFloor: (context) => forAll(context, pauseFloor),
  conclude,
  finish: async (context) => {
    for (const { own, floor } of pairs) {
      await own.vm.stop()
      await floor.close()
    }
    rmSync(folderOf(context), { recursive: true, force: true })
  },
}
