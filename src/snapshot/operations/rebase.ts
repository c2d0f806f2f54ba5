/** The same content as a difference to another snapshot. */
import { resolve } from "node:path"
import * as Effect from "effect/Effect"
import { mapMemories } from "../../memory/map-memory.ts"
import { loadNative } from "../../native.ts"
import { openChainOf } from "../chain/chain.ts"
import { readMachineState } from "../restore/open.ts"
import { changedMemory } from "../save/changed-memory.ts"
import { type Changes, checkPlace, checkRegions, openParentAt } from "../save/parent.ts"
import { writeDerived } from "./derive.ts"
import { type OperationOptions, verifySources } from "./operation.ts"
import { pagesApart } from "./pages-apart.ts"

export interface RebaseOptions extends OperationOptions {
  /** Directory of the snapshot that the new one is to be a difference to: any of a machine with the same memory. */
  readonly onto: string
}

/**
 * Writes a diff snapshot to `out` with the state and memory of the one at `dir`, but as a difference to the snapshot
 * `onto`. With the full snapshot at the end of its own chain, that makes one layer of all between them. Nothing that is
 * there is changed.
 */
export const rebase = (dir: string, out: string, options: RebaseOptions) =>
  Effect.gen(function* () {
    const onto = resolve(options.onto)
    const child = resolve(out)
    const source = yield* readMachineState(dir)
    const chain = yield* openChainOf({ dir, ...source }, options)
    const parent = yield* openParentAt(onto, child, options)
    const { regions, size } = source.manifest.memory
    yield* checkRegions(parent, regions)
    yield* checkPlace("out", child, [...chain.links, ...parent.links])
    const progress = yield* verifySources([{ dir, ...chain }, parent], size, options)
    const memories = yield* mapMemories(loadNative(), chain.memories)
    const baselines = yield* mapMemories(loadNative(), parent.memories)
    const candidates = pagesApart(chain.links, parent.links, regions)
    const changes: Changes = { tracking: "compare", candidates: () => candidates, baselines }
    return yield* writeDerived({
      source,
      parent: parent.reference,
      writer: changedMemory(changes, parent.runs),
      memories,
      out,
      options,
      progress,
    })
  }).pipe(Effect.scoped)
