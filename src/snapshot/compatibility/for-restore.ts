/** The check that a restore makes, of a snapshot that it has read. */
import * as Effect from "effect/Effect"
import type { HostProfile } from "../../machine/host-profile.ts"
import type { VcpuState } from "../../machine/kvm/vcpu-state.ts"
import { FORMAT_VERSION } from "../../state/envelope.ts"
import { type Manifest, ManifestComponent } from "../../state/manifest.ts"
import type { ResolvedResource } from "../restore/resources.ts"
import { compareRead } from "./compare.ts"
import { needsOf } from "./derive.ts"
import { SnapshotIncompatible } from "./incompatible.ts"

/** What a restore asks of compatibility. */
export interface CompatibilityOptions {
  /** The least that is asked for: `runs` refuses also what runs with care. */
  readonly accept?: "runs" | "runs-with-care"
  /** Checks against this instead of the host itself. */
  readonly host?: HostProfile
}

interface ReadSnapshot {
  readonly manifest: Manifest
  readonly state: { readonly vcpus: readonly VcpuState[] }
  readonly resources: readonly ResolvedResource[]
}

/**
 * Refuses what will not run. That it can be read has been proved by reading it.
 */
export const requireCompatible = (
  dir: string,
  { manifest, state, resources }: ReadSnapshot,
  thisHost: HostProfile,
  { accept = "runs-with-care", host = thisHost }: CompatibilityOptions = {},
): Effect.Effect<void, SnapshotIncompatible> =>
  Effect.suspend(() => {
    const needs = needsOf(manifest, state.vcpus, { format: FORMAT_VERSION, manifest: ManifestComponent.version })
    const compatibility = compareRead(needs, host, resources)
    const { verdict } = compatibility
    const isAccepted = verdict === "runs" || (verdict === "runs-with-care" && accept === "runs-with-care")
    return isAccepted ? Effect.void : Effect.fail(SnapshotIncompatible.of(dir, compatibility))
  })
