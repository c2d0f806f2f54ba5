/** What this release reads, for a host profile. */
import type { ReaderProfile } from "../machine/host-profile.ts"
import { FORMAT_VERSION } from "../state/envelope.ts"
import { ManifestComponent } from "../state/manifest.ts"
import { packageVersion } from "../version.ts"
import { registry } from "./sections.ts"

export const readerProfile: ReaderProfile = {
  version: packageVersion,
  formatVersion: FORMAT_VERSION,
  components: Object.fromEntries(
    [ManifestComponent, ...registry.components].map(({ kind, version }) => [kind, version] as const).sort(),
  ),
}
