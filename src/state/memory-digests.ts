/** The digests of a snapshot's memory file, chunk by chunk: how a flipped bit in it is found. */
import * as Schema from "effect/Schema"
import { component } from "./component.ts"
import { Bytes, U32 } from "./primitives.ts"

/** Bytes of one digest. */
export const CHUNK_DIGEST_BYTES = 16

const MemoryDigestsV1 = Schema.Struct({
  /** XXH3-128 of the pages that are not all zero, each behind its number in the chunk (`NativeDigests`). */
  algorithm: Schema.Literal("xxh3-128-pages"),
  chunkBytes: U32.check(Schema.isGreaterThanOrEqualTo(4096), Schema.isMultipleOf(4096)),
  /** {@link CHUNK_DIGEST_BYTES} for each chunk of the file. */
  digests: Bytes,
})

export const MemoryDigestsComponent = component("memory-digests", MemoryDigestsV1)

/** Digests of a memory file of any kind, whole: chunk after chunk, the last of which may be short. */
export type MemoryDigests = typeof MemoryDigestsV1.Type
