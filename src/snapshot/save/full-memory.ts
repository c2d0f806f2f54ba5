/** `memory.img`, the memory of a full snapshot: flat, with holes for what is zero. */
import * as Effect from "effect/Effect"
import { MEMORY_FILE, toDumpFailed, toWriteFailed } from "../bundle/bundle.ts"
import { PAGE_BYTES } from "../runs/runs.ts"
import { dumpMemory } from "./dump-memory.ts"
import { flatMemory, type MemoryWriter } from "./memory-writer.ts"

export const fullMemory: MemoryWriter = {
  fileName: MEMORY_FILE,
  tracking: undefined,
  dump: ({ path, handle }, memory, onProgress) =>
    Effect.gen(function* () {
      const { regions, size } = flatMemory(memory.regions)
      yield* Effect.tryPromise({ try: () => handle.truncate(size), catch: (cause) => toWriteFailed(path, cause) })
      const sources = memory.regions.map((region, index) => ({
        memory: region.memory,
        fileOffset: regions[index]!.fileOffset,
      }))
      const { writtenBytes, digests } = yield* dumpMemory(handle.fd, sources, onProgress).pipe(
        Effect.mapError((error) => toDumpFailed(path, error)),
      )
      const layout = { regions, size, file: { name: MEMORY_FILE, size }, diff: null }
      return Effect.succeed({ layout, digests, writtenBytes, pages: writtenBytes / PAGE_BYTES })
    }),
}
