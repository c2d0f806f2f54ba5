/** Chains of snapshots of the guest of guest/guest.S, with what is dirty spread over their layers. */
import { readlinkSync, writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import { MicroVm } from "../src/index.ts"
import { openSnapshot } from "../src/snapshot/restore/open.ts"
import { RUN_NUMBERS, ZEROS } from "../src/snapshot/runs/runs.ts"
import { CommandedGuest, fillableMib, guestConfig, type Operation } from "./guest.ts"

/** A guest that runs, with all of its memory filled, and whose changes are logged. */
export interface FilledGuest {
  readonly vm: MicroVm
  readonly guest: CommandedGuest
  readonly filledMib: number
}

export const startFilled = async (memoryMib: number): Promise<FilledGuest> => {
  const vm = await MicroVm.create({ ...guestConfig(memoryMib), trackDirtyPages: true })
  try {
    await vm.start()
    const guest = new CommandedGuest(vm)
    const filledMib = fillableMib(memoryMib)
    await guest.command("fill", filledMib)
    return { vm, guest, filledMib }
  } catch (error) {
    await vm.stop()
    throw error
  }
}

export interface ChainShape {
  /** The diffs over the full snapshot. */
  readonly layers: number
  /** How the guest writes what a layer has. */
  readonly operation: Exclude<Operation, "fill">
}

/** How much of what is filled is dirty in all layers together. */
export const DIRTY_PERCENT = 10

/**
 * Saves the guest in folders `${dir}-0`, the full snapshot, and on.
 * @returns the newest, which all others are below
 */
export const saveChain = async (
  filled: FilledGuest,
  dir: string,
  { layers, operation }: ChainShape,
): Promise<string> => {
  const { vm, guest, filledMib } = filled
  let parent = `${dir}-0`
  await vm.snapshot({ dir: parent })
  const layerMib = Math.max(1, Math.round((filledMib * DIRTY_PERCENT) / 100 / layers))
  for (let layer = 1; layer <= layers; layer++) {
    await guest.command(operation, layerMib)
    const next = `${dir}-${layer}`
    await vm.snapshot({ dir: next, type: "diff", parent })
    parent = next
  }
  return parent
}

const pathOf = (fd: number): string => readlinkSync(`/proc/self/fd/${fd}`)

/**
 * What the C program has to know of a chain: the paths of its full memory file, of the runs of its layers, put together,
 * and of the layers' files.
 * @param dir of the newest snapshot
 * @param runsPath where the runs are written to
 */
export const floorChain = (dir: string, runsPath: string): Promise<readonly string[]> =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const { chain } = yield* openSnapshot(dir)
        const [memory, ...others] = chain.memories
        if (memory?.source.kind !== "file" || others.length > 0) throw new Error("the floor takes one region of memory")
        const { fd, laid } = memory.source
        const runs = laid?.runs ?? new Float64Array()
        // The guest writes no zeros, and so the C program does not know of them.
        if (runs.some((file, at) => at % RUN_NUMBERS === 2 && file === ZEROS)) throw new Error("a layer with zeros")
        writeFileSync(runsPath, runs)
        return [pathOf(fd), runsPath, ...(laid?.fds ?? []).map(pathOf)]
      }),
    ),
  )
