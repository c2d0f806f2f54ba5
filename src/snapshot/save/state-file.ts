/** Writes a snapshot's state file, once its memory is in its own. */
import * as Effect from "effect/Effect"
import { encodeEnvelope, type Section } from "../../state/envelope.ts"
import type { Manifest } from "../../state/manifest.ts"
import { type SnapshotWriteFailed, STATE_FILE, writeBundleFile } from "../bundle/bundle.ts"
import { DIGEST_CHUNK_BYTES } from "../runs/memory-diff.ts"
import type { WrittenMemory } from "./memory-writer.ts"

/** @returns its bytes */
export const writeStateFile = (
  temporaryDir: string,
  manifest: Manifest,
  sections: readonly Section[],
  { digests }: WrittenMemory,
): Effect.Effect<Uint8Array, SnapshotWriteFailed> =>
  Effect.suspend(() => {
    const memoryDigests = { algorithm: "xxh3-128-pages", chunkBytes: DIGEST_CHUNK_BYTES, digests } as const
    const state = encodeEnvelope({ manifest, sections, memoryDigests })
    return Effect.as(writeBundleFile(temporaryDir, STATE_FILE, state), state)
  })
