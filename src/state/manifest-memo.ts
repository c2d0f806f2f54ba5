/**
 * Manifests that were decoded before, by their digest: copies of a machine are restored over and over from the same
 * chain, and decoding its manifests is most of what opening it takes. What is in a file is still read and held against
 * its digest each time.
 */

import type { VersionedPayload } from "./component.ts"
import { type Manifest, ManifestComponent } from "./manifest.ts"

/** As many as the longest chain has. */
const MAXIMUM_KEPT = 256
/** One that is larger than manifests are, some ten KiB, is decoded each time: a file must not make the host keep much. */
const MAXIMUM_BYTES = 64 * 1024

const kept = new Map<string, Manifest>()

/** Nobody may change what others are given, too. Bytes cannot be frozen; nobody writes to those of a manifest. */
const freeze = <T>(value: T): T => {
  if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
    Object.freeze(value)
    for (const entry of Object.values(value)) freeze(entry)
  }
  return value
}

/**
 * @param digest SHA-256 of the record that `stored` was read from, which was checked
 * @throws StateInvalid, StateVersionUnsupported
 */
export const decodeOnce = (digest: Uint8Array, stored: VersionedPayload): Manifest => {
  if (stored.payload.length > MAXIMUM_BYTES) return ManifestComponent.decode(stored)
  const key = Buffer.from(digest).toString("latin1")
  const manifest = kept.get(key) ?? freeze(ManifestComponent.decode(stored))
  // The one that was not asked for the longest time goes first.
  kept.delete(key)
  kept.set(key, manifest)
  if (kept.size > MAXIMUM_KEPT) kept.delete(kept.keys().next().value as string)
  return manifest
}
