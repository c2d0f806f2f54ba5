/** A full snapshot with the state of one that is there and the memory of a flat file. */
import * as Effect from "effect/Effect"
import { mapMemories } from "../../memory/map-memory.ts"
import { loadNative } from "../../native.ts"
import { openFlatFile } from "../bundle/bundle.ts"
import { type OnProgress, stepProgress } from "../progress.ts"
import { readMachineState } from "../restore/open.ts"
import { fullMemory } from "../save/full-memory.ts"
import { checkPlace } from "../save/parent.ts"
import { writeDerived } from "./derive.ts"

export interface ImportOptions {
  /** Put the new snapshot in the place of one that is there already. */
  readonly overwrite?: boolean
  /** Called about twenty times a second while the file is read. */
  readonly onProgress?: OnProgress
}

/**
 * Writes a full snapshot to `out` with the machine state of the snapshot at `dir` and the memory of `file`, which is flat
 * as `exportMemory` writes it: all of guest memory, what is above 4 GiB right behind what is below 3 GiB. It has to be
 * exactly as long; its holes, and what is zero in it, become holes. The file must not change meanwhile.
 *
 * Whether this state and this memory belong together is nothing that could be checked.
 */
export const importMemory = (dir: string, file: string, out: string, options: ImportOptions = {}) =>
  Effect.gen(function* () {
    const source = yield* readMachineState(dir)
    yield* checkPlace("out", out, [{ dir }])
    const { regions, size } = source.manifest.memory
    const fd = yield* openFlatFile(file, size)
    const memories = yield* mapMemories(
      loadNative(),
      regions.map((region) => ({
        size: region.size,
        source: { kind: "file", fd, offset: region.fileOffset } as const,
      })),
    )
    const progress = stepProgress(size, options.onProgress)
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
