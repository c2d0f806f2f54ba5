/** Snapshots that need something outside of themselves, which no device of this release does. */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { readStateFile, STATE_FILE } from "../../src/snapshot/bundle/bundle.ts"
import { encodeEnvelope } from "../../src/state/envelope.ts"
import type { Manifest } from "../../src/state/manifest.ts"

/** Makes the snapshot in a directory name these resources. */
export const nameResources = async (dir: string, resources: Manifest["resources"]): Promise<void> => {
  const { manifest, sections } = await Effect.runPromise(readStateFile(dir))
  writeFileSync(join(dir, STATE_FILE), encodeEnvelope({ manifest: { ...manifest, resources }, sections }))
}
