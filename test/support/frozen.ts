/** Where what was released is kept, and what of this release belongs there. */
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { snapshotNeedsComponent } from "../../src/snapshot/compatibility/needs.ts"
import { registry } from "../../src/snapshot/sections.ts"
import { describeSchema, type Json } from "../../src/state/describe-schema.ts"
import { hostProfileComponent } from "../../src/state/host-profile.ts"
import { ManifestComponent } from "../../src/state/manifest.ts"
import { MemoryDigestsComponent } from "../../src/state/memory-digests.ts"

const fixtures = fileURLToPath(new URL("../../../fixtures/", import.meta.url))

/** One JSON file a version of a component, `<kind>.<version>.json`. */
export const schemasDir = join(fixtures, "schemas")
/** One directory a format of `state.cryo`; in it one directory a frozen snapshot. */
export const snapshotsDir = join(fixtures, "snapshots")

/** Description of every version of every component of this release, by the name of its file. */
export const schemasOfThisRelease = (): ReadonlyMap<string, Json> => {
  const components = [
    ManifestComponent,
    MemoryDigestsComponent,
    hostProfileComponent,
    snapshotNeedsComponent,
    ...registry.components,
  ]
  return new Map(
    components.flatMap((component) =>
      component.schemas.map(
        (schema, index) => [`${component.kind}.${index + 1}.json`, describeSchema(schema)] as const,
      ),
    ),
  )
}
