/** Whether a snapshot runs on a host, as it is asked from outside. */
import * as Effect from "effect/Effect"
import type { HostUnsupported } from "../../machine/errors.ts"
import type { HostProfile } from "../../machine/host-profile.ts"
import type { NativeAddonMissing } from "../../native.ts"
import { type AbortOptions, run } from "../../promise.ts"
import type { StateInvalid, StateVersionUnsupported } from "../../state/component.ts"
import type { DecodedEnvelope } from "../../state/envelope.ts"
import type { StateFormatTooNew } from "../../state/envelope-errors.ts"
import { ManifestComponent } from "../../state/manifest.ts"
import { readStateFile, type StateReadError } from "../bundle/bundle.ts"
import type { ChainOptions } from "../chain/walk-chain.ts"
import type { ResourceOptions } from "../restore/resources.ts"
import { compare } from "./compare.ts"
import { needsOfEnvelope } from "./derive.ts"
import { gatherFacts } from "./facts.ts"
import { type Compatibility, judge } from "./finding.ts"
import type { SnapshotNeeds } from "./needs.ts"
import { measureHost } from "./this-host.ts"

export { measureHost } from "./this-host.ts"

/** Where what belongs to a snapshot is looked for, on this host. */
export type CheckOptions = ChainOptions & ResourceOptions

/** Why it cannot be told whether a snapshot runs. */
export type CheckError = StateReadError | HostUnsupported | NativeAddonMissing

const needsOfRead = (envelope: DecodedEnvelope): Effect.Effect<SnapshotNeeds, StateInvalid> =>
  Effect.try({ try: () => needsOfEnvelope(envelope), catch: (error) => error as StateInvalid })

/**
 * What the snapshot in a directory needs of a host, from its state file alone. The result, as JSON, answers
 * {@link checkSnapshot} where the snapshot itself is not at hand.
 */
export const needsOfSnapshot = (dir: string): Effect.Effect<SnapshotNeeds, StateReadError> =>
  Effect.flatMap(readStateFile(dir), needsOfRead)

const tooNew = (error: StateFormatTooNew | StateVersionUnsupported): Compatibility => {
  const [expected, readable] =
    error._tag === "StateFormatTooNew"
      ? [`format version ${error.formatVersion}`, error.readableVersion]
      : [`${ManifestComponent.kind} of version ${error.version}`, Math.max(...error.supported)]
  return judge([
    {
      code: "format-too-new",
      severity: "blocker",
      subject: "state.cryo",
      expected,
      actual: `up to version ${readable} is read here`,
      remedy: "use a newer cryovm",
    },
  ])
}

/** A snapshot at hand, with the files that it needs where the host is this one. */
const checkDirectory = (dir: string, host: HostProfile | undefined, options: CheckOptions | undefined) =>
  Effect.gen(function* () {
    const envelope = yield* readStateFile(dir)
    const needs = yield* needsOfRead(envelope)
    if (host !== undefined) return compare(needs, host)
    const facts = yield* gatherFacts({ dir, header: envelope.header, manifest: envelope.manifest }, options)
    return compare(needs, yield* measureHost, facts)
  })

const checkNeeds = (needs: SnapshotNeeds, host: HostProfile | undefined) =>
  host === undefined
    ? Effect.map(measureHost, (profile) => compare(needs, profile))
    : Effect.succeed(compare(needs, host))

/**
 * Whether a snapshot runs on a host, and all that speaks against it.
 * @param snapshot a directory, or what {@link needsOfSnapshot} gave
 * @param host a profile of another host, which is then not this one: neither its KVM nor the files that the snapshot
 *   names are looked at here; without it this host is measured, and the files are looked at where a directory is given,
 *   with the parents of a diff snapshot
 */
export const checkSnapshot = (
  snapshot: string | SnapshotNeeds,
  host?: HostProfile,
  options?: CheckOptions,
): Effect.Effect<Compatibility, CheckError> =>
  (typeof snapshot === "string" ? checkDirectory(snapshot, host, options) : checkNeeds(snapshot, host)).pipe(
    Effect.catchTag(["StateFormatTooNew", "StateVersionUnsupported"], (error) => Effect.succeed(tooNew(error))),
  )

/** {@link measureHost} as a Promise: the profile of this host. @throws HostUnsupported, NativeAddonMissing */
export const hostProfile = (options?: AbortOptions): Promise<HostProfile> => run(measureHost, options)

/** {@link needsOfSnapshot} as a Promise. */
export const describeNeeds = (dir: string, options?: AbortOptions): Promise<SnapshotNeeds> =>
  run(needsOfSnapshot(dir), options)

/** {@link checkSnapshot} as a Promise. */
export const checkCompatibility = (
  snapshot: string | SnapshotNeeds,
  host?: HostProfile,
  options?: CheckOptions & AbortOptions,
): Promise<Compatibility> => run(checkSnapshot(snapshot, host, options), options)
