/** A diff snapshot and all that it is a difference to, as one full snapshot. */
import * as Effect from "effect/Effect"
import { mapMemories } from "../../memory/map-memory.ts"
import { loadNative } from "../../native.ts"
import { openChainOf } from "../chain/chain.ts"
import { readMachineState } from "../restore/open.ts"
import { fullMemory } from "../save/full-memory.ts"
import { checkPlace } from "../save/parent.ts"
import { writeDerived } from "./derive.ts"
import { type OperationOptions, verifySources } from "./operation.ts"

/**
 * Writes a full snapshot to `out` with the state and the whole memory of the snapshot at `dir`, which stays as it is, as
 * do those that it is a difference to. Of a full snapshot it makes a copy with an id of its own.
 */
export const flatten = (dir: string, out: string, options: OperationOptions = {}) =>
  Effect.gen(function* () {
    const source = yield* readMachineState(dir)
    const chain = yield* openChainOf({ dir, ...source }, options)
    yield* checkPlace("out", out, chain.links)
    const progress = yield* verifySources([{ dir, ...chain }], source.manifest.memory.size, options)
    const memories = yield* mapMemories(loadNative(), chain.memories)
    return yield* writeDerived({
      source,
      parent: null,
      writer: fullMemory,
      memories,
      out,
      options,
      progress,
    })
  }).pipe(Effect.scoped)
