/**
 * `state.cryo`: the header of `envelope-header.ts`, then the manifest, then one section a component.
 *
 * Both parts are msgpack: the manifest as `{version, payload}`, the sections as an array of
 * `{name, kind, version, optional?, payload}`. A payload is again msgpack, of its component's own schema, so that one
 * reader that does not know a component can still list, skip or copy it. A digest is checked before its part is
 * unpacked, and a length before it is allocated.
 */
import * as Schema from "effect/Schema"
import { component, StateInvalid, StateVersionUnsupported, type VersionedPayload } from "./component.ts"
import { type Producer, StateFormatTooNew } from "./envelope-errors.ts"
import {
  checkDigest,
  checkLimit,
  FORMAT_VERSION,
  MAXIMUM_MANIFEST_BYTES,
  MAXIMUM_STATE_BYTES,
  readHeader,
  type StateHeader,
  writeHeader,
} from "./envelope-header.ts"
import { type ComponentEntry, type Manifest, ManifestComponent } from "./manifest.ts"
import { decodeMsgpack } from "./msgpack.ts"
import { Bytes, U32 } from "./primitives.ts"

export { FORMAT_VERSION, readHeader, type StateHeader } from "./envelope-header.ts"

const Version = U32.check(Schema.isGreaterThanOrEqualTo(1))
const Name = Schema.String.check(Schema.isNonEmpty())

const ManifestRecord = component("manifest record", Schema.Struct({ version: Version, payload: Bytes }))

const SectionList = component(
  "section list",
  Schema.Array(
    Schema.Struct({
      name: Name,
      kind: Name,
      version: Version,
      optional: Schema.optionalKey(Schema.Literal(true)),
      payload: Bytes,
    }),
  ),
)

/**
 * One component's state. `name` is unique in the snapshot (`serial0`), `kind` names the schema, `optional` lets a
 * reader that does not know the kind or the version go on without it.
 */
export interface Section {
  readonly name: string
  readonly kind: string
  readonly version: number
  readonly optional?: true
  readonly payload: Uint8Array
}

/** What goes into a `state.cryo`. */
export interface Envelope {
  readonly manifest: Manifest
  readonly sections: readonly Section[]
}

/** A `state.cryo` that was read and checked whole. */
export interface DecodedEnvelope extends Envelope {
  readonly header: StateHeader
  /** The version that the manifest was written in. */
  readonly manifestVersion: number
}

/** The lines for a manifest's `components` that describe these sections. */
export const componentsOf = (sections: readonly Section[]): ComponentEntry[] =>
  sections.map(({ name, kind, version, optional }) => ({ name, kind, version, ...(optional && { optional }) }))

const checkComponents = (manifest: Manifest, sections: readonly Section[]): void => {
  const line = ({ name, kind, version, optional }: ComponentEntry) => JSON.stringify([name, kind, version, optional])
  const told = manifest.components.map(line)
  const there = componentsOf(sections).map(line)
  if (told.length === there.length && told.every((entry, index) => entry === there[index])) return
  throw new StateInvalid({
    message: "the manifest's components are not the sections of the file",
    kind: ManifestComponent.kind,
    version: ManifestComponent.version,
  })
}

/**
 * Writes a `state.cryo`. The same arguments give the same bytes.
 * @param envelope.formatVersion 1 to {@link FORMAT_VERSION}; the newest unless an older reader is written for
 * @param envelope.manifestVersion likewise for the manifest
 * @throws StateInvalid, StateVersionUnsupported, StateDowngradeLossy, StateTooLarge
 */
export const encodeEnvelope = (
  envelope: Envelope & { readonly formatVersion?: number; readonly manifestVersion?: number },
): Uint8Array => {
  const { formatVersion = FORMAT_VERSION, manifestVersion, sections } = envelope
  if (formatVersion !== FORMAT_VERSION) {
    throw new StateVersionUnsupported({
      message: `this release cannot write state.cryo in format version ${formatVersion}; it writes ${FORMAT_VERSION}`,
      kind: "state.cryo",
      version: formatVersion,
      supported: [FORMAT_VERSION],
    })
  }
  checkComponents(envelope.manifest, sections)
  const manifest = ManifestRecord.encode(ManifestComponent.encode(envelope.manifest, manifestVersion)).payload
  const body = SectionList.encode(sections).payload
  checkLimit("manifest", manifest.length, MAXIMUM_MANIFEST_BYTES)
  checkLimit("sections", body.length, MAXIMUM_STATE_BYTES - manifest.length)
  const header = writeHeader(formatVersion, manifest, body)
  const file = new Uint8Array(header.length + manifest.length + body.length)
  file.set(header)
  file.set(manifest, header.length)
  file.set(body, header.length + manifest.length)
  return file
}

/** Who wrote a manifest, as far as it can be told from one of any version. Never throws. */
const producerOf = (manifest: Uint8Array): Producer | undefined => {
  const field = (value: unknown, name: string): unknown =>
    typeof value === "object" && value !== null ? Object.getOwnPropertyDescriptor(value, name)?.value : undefined
  try {
    const payload = field(decodeMsgpack(manifest), "payload")
    if (!(payload instanceof Uint8Array)) return undefined
    const producer = field(decodeMsgpack(payload), "producer")
    const name = field(producer, "name")
    const version = field(producer, "version")
    return typeof name === "string" && typeof version === "string" ? { name, version } : undefined
  } catch {
    return undefined
  }
}

const writtenBy = (producer: Producer | undefined): string =>
  producer === undefined ? "" : `, written by ${producer.name} ${producer.version}`

/** @throws StateFormatTooNew, StateCorrupt, StateInvalid, StateVersionUnsupported */
const readManifestRecord = (header: StateHeader, bytes: Uint8Array): VersionedPayload => {
  checkDigest("manifest", bytes, header.manifestDigest)
  if (header.formatVersion > FORMAT_VERSION) {
    const producer = producerOf(bytes)
    throw new StateFormatTooNew({
      message: `state.cryo is of format version ${header.formatVersion}${writtenBy(producer)}; this release reads up to ${FORMAT_VERSION}: use a newer cryovm`,
      formatVersion: header.formatVersion,
      readableVersion: FORMAT_VERSION,
      producer,
    })
  }
  const record = ManifestRecord.decode({ version: 1, payload: bytes })
  if (record.version > ManifestComponent.version) {
    throw new StateVersionUnsupported({
      message: `the manifest is of version ${record.version}${writtenBy(producerOf(bytes))}; this release reads up to ${ManifestComponent.version}: use a newer cryovm`,
      kind: ManifestComponent.kind,
      version: record.version,
      supported: ManifestComponent.schemas.map((_, index) => index + 1),
    })
  }
  return record
}

/**
 * Checks and reads a manifest alone, for which the sections need not be there.
 * @param bytes the `manifestLength` bytes after the header
 * @throws StateFormatTooNew, StateCorrupt, StateInvalid, StateVersionUnsupported
 */
export const decodeManifest = (header: StateHeader, bytes: Uint8Array): Manifest =>
  ManifestComponent.decode(readManifestRecord(header, bytes))

/**
 * Checks and reads a whole `state.cryo`. The sections' payloads are still encoded: a registry reads them.
 * @throws StateNotCryovm, StateTruncated, StateCorrupt, StateTooLarge, StateFormatTooNew, StateInvalid,
 *   StateVersionUnsupported
 */
export const decodeEnvelope = (bytes: Uint8Array): DecodedEnvelope => {
  const header = readHeader(bytes)
  const sectionsAt = header.headerLength + header.manifestLength
  const record = readManifestRecord(header, bytes.subarray(header.headerLength, sectionsAt))
  const manifest = ManifestComponent.decode(record)
  const body = bytes.subarray(sectionsAt)
  checkDigest("sections", body, header.sectionsDigest)
  const sections = SectionList.decode({ version: 1, payload: body })
  checkComponents(manifest, sections)
  return { header, manifest, manifestVersion: record.version, sections }
}
