/**
 * `state.cryo`: the header of `envelope-header.ts`, then the manifest, one section a component, and the digests of the
 * memory.
 *
 * All three are msgpack: the manifest and the digests as `{version, payload}`, the sections as an array of
 * `{name, kind, version, optional?, payload}`. A payload is again msgpack, of its component's own schema, so that one
 * reader that does not know a component can still list, skip or copy it. A digest is checked before its part is
 * unpacked, and a length before it is allocated.
 */
import { isDeepStrictEqual } from "node:util"
import * as Schema from "effect/Schema"
import {
  type Component,
  component,
  StateDowngradeLossy,
  StateInvalid,
  StateVersionUnsupported,
  type VersionedPayload,
} from "./component.ts"
import { type Producer, StateFormatTooNew } from "./envelope-errors.ts"
import {
  checkDigest,
  checkLimit,
  FORMAT_VERSION,
  type HeaderContent,
  type Lineage,
  MAXIMUM_DIGESTS_BYTES,
  MAXIMUM_MANIFEST_BYTES,
  MAXIMUM_STATE_BYTES,
  readHeader,
  type StateHeader,
  writeHeader,
} from "./envelope-header.ts"
import { type ComponentEntry, type Manifest, ManifestComponent } from "./manifest.ts"
import { decodeOnce } from "./manifest-memo.ts"
import { CHUNK_DIGEST_BYTES, type MemoryDigests, MemoryDigestsComponent } from "./memory-digests.ts"
import { decodeMsgpack } from "./msgpack.ts"
import { Bytes, U32 } from "./primitives.ts"

export { FORMAT_VERSION, type Lineage, type ParentReference, readHeader, type StateHeader } from "./envelope-header.ts"

const Version = U32.check(Schema.isGreaterThanOrEqualTo(1))
const Name = Schema.String.check(Schema.isNonEmpty())

const Versioned = Schema.Struct({ version: Version, payload: Bytes })
const ManifestRecord = component("manifest record", Versioned)
const DigestsRecord = component("memory digests record", Versioned)

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
  /** Left out where nobody computed them. */
  readonly memoryDigests?: MemoryDigests | undefined
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

/**
 * Checks that the sections are those that the manifest tells of.
 * @throws StateInvalid
 */
export const checkComponents = (manifest: Manifest, sections: readonly Section[]): void => {
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

/** The newest manifest that was written in each format version but the current one. */
const MANIFEST_OF_FORMAT: Readonly<Record<number, number>> = { 1: 2, 2: 2 }

/** Fails where an older format has no place for something. */
const checkFormat = (formatVersion: number, { manifest, memoryDigests }: Envelope): void => {
  if (!(Number.isInteger(formatVersion) && formatVersion >= 1 && formatVersion <= FORMAT_VERSION)) {
    throw new StateVersionUnsupported({
      message: `this release cannot write state.cryo in format version ${formatVersion}; it writes 1 to ${FORMAT_VERSION}`,
      kind: "state.cryo",
      version: formatVersion,
      supported: Array.from({ length: FORMAT_VERSION }, (_, index) => index + 1),
    })
  }
  const lost =
    formatVersion < 3 && manifest.parent !== null
      ? { what: "a parent", since: 3 }
      : formatVersion < 2 && memoryDigests !== undefined
        ? { what: "digests of its memory", since: 2 }
        : undefined
  if (lost === undefined) return
  throw new StateDowngradeLossy({
    message: `a snapshot with ${lost.what} cannot be written in format version ${formatVersion} without losing it`,
    kind: "state.cryo",
    from: lost.since,
    to: formatVersion,
  })
}

const partsOf = (envelope: Envelope, formatVersion: number, manifestVersion: number | undefined): HeaderContent => {
  const { manifest, sections, memoryDigests } = envelope
  const record = ManifestComponent.encode(manifest, manifestVersion)
  return {
    formatVersion,
    manifest: ManifestRecord.encode(record).payload,
    sections: SectionList.encode(sections).payload,
    digests:
      memoryDigests === undefined
        ? new Uint8Array(0)
        : DigestsRecord.encode(MemoryDigestsComponent.encode(memoryDigests)).payload,
    lineage: lineageOf(manifest),
  }
}

const lineageOf = ({ id, parent }: Manifest): Lineage => ({
  id: id.toLowerCase(),
  parent: parent === null ? null : { id: parent.id.toLowerCase(), digest: parent.digest },
})

/**
 * Writes a `state.cryo`. The same arguments give the same bytes.
 * @param envelope.formatVersion 1 to {@link FORMAT_VERSION}; the newest unless an older reader is written for
 * @param envelope.manifestVersion likewise for the manifest
 * @throws StateInvalid, StateVersionUnsupported, StateDowngradeLossy, StateTooLarge
 */
export const encodeEnvelope = (
  envelope: Envelope & { readonly formatVersion?: number; readonly manifestVersion?: number },
): Uint8Array => {
  const { formatVersion = FORMAT_VERSION } = envelope
  checkFormat(formatVersion, envelope)
  checkComponents(envelope.manifest, envelope.sections)
  const parts = partsOf(envelope, formatVersion, envelope.manifestVersion ?? MANIFEST_OF_FORMAT[formatVersion])
  const { manifest, sections, digests } = parts
  checkLimit("manifest", manifest.length, MAXIMUM_MANIFEST_BYTES)
  checkLimit("sections", sections.length, MAXIMUM_STATE_BYTES - manifest.length)
  checkLimit("digests", digests.length, MAXIMUM_DIGESTS_BYTES)
  return new Uint8Array(Buffer.concat([writeHeader(parts), manifest, sections, digests]))
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

/** A record of a component that may be newer than this release. */
const checkVersion = (
  what: string,
  { version }: VersionedPayload,
  known: Pick<Component<unknown>, "kind" | "version" | "schemas">,
  producer: () => Producer | undefined,
): void => {
  if (version <= known.version) return
  throw new StateVersionUnsupported({
    message: `${what} of version ${version}${writtenBy(producer())}; this release reads up to ${known.version}: use a newer cryovm`,
    kind: known.kind,
    version,
    supported: known.schemas.map((_, index) => index + 1),
  })
}

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
  checkVersion("the manifest is", record, ManifestComponent, () => producerOf(bytes))
  return record
}

const checkLineage = (manifest: Manifest, { lineage }: StateHeader): void => {
  if (lineage === undefined || isDeepStrictEqual(lineage, lineageOf(manifest))) return
  throw new StateInvalid({
    message: "the manifest tells of another snapshot or parent than the header",
    kind: ManifestComponent.kind,
    version: ManifestComponent.version,
  })
}

/**
 * Checks and reads a manifest alone, for which the rest need not be there.
 * @param bytes the `manifestLength` bytes after the header
 * @throws StateFormatTooNew, StateCorrupt, StateInvalid, StateVersionUnsupported
 */
export const decodeManifest = (header: StateHeader, bytes: Uint8Array): Manifest => {
  const manifest = decodeOnce(header.manifestDigest, readManifestRecord(header, bytes))
  checkLineage(manifest, header)
  return manifest
}

/** The three parts behind a header, by where it says they are. */
export const statePartsOf = (
  { headerLength, manifestLength, sectionsLength }: StateHeader,
  bytes: Uint8Array,
): { readonly manifest: Uint8Array; readonly sections: Uint8Array; readonly digests: Uint8Array } => {
  const sectionsAt = headerLength + manifestLength
  const digestsAt = sectionsAt + sectionsLength
  return {
    manifest: bytes.subarray(headerLength, sectionsAt),
    sections: bytes.subarray(sectionsAt, digestsAt),
    digests: bytes.subarray(digestsAt),
  }
}

/**
 * Checks and reads the sections alone; their payloads are still encoded.
 * @throws StateCorrupt, StateInvalid
 */
export const decodeSectionList = (header: StateHeader, bytes: Uint8Array): readonly Section[] => {
  checkDigest("sections", bytes, header.sectionsDigest)
  return SectionList.decode({ version: 1, payload: bytes })
}

/**
 * Checks and reads the digests of the memory alone.
 * @returns `undefined` where there are none
 * @throws StateCorrupt, StateInvalid, StateVersionUnsupported
 */
export const decodeMemoryDigests = (
  header: StateHeader,
  bytes: Uint8Array,
  manifest: Manifest,
): MemoryDigests | undefined => {
  if (header.digestsDigest === undefined) return undefined
  checkDigest("digests", bytes, header.digestsDigest)
  if (bytes.length === 0) return undefined
  const record = DigestsRecord.decode({ version: 1, payload: bytes })
  checkVersion("the digests of the memory are", record, MemoryDigestsComponent, () => manifest.producer)
  const digests = MemoryDigestsComponent.decode(record)
  const expected = Math.ceil(manifest.memory.file.size / digests.chunkBytes) * CHUNK_DIGEST_BYTES
  if (digests.digests.length === expected) return digests
  throw new StateInvalid({
    message: `the digests of the memory are ${digests.digests.length} bytes; the memory file has chunks for ${expected}`,
    kind: MemoryDigestsComponent.kind,
    version: record.version,
  })
}

/**
 * Checks and reads a whole `state.cryo`. The sections' payloads are still encoded: a registry reads them.
 * @throws StateNotCryovm, StateTruncated, StateCorrupt, StateTooLarge, StateFormatTooNew, StateInvalid,
 *   StateVersionUnsupported
 */
export const decodeEnvelope = (bytes: Uint8Array): DecodedEnvelope => {
  const header = readHeader(bytes)
  const parts = statePartsOf(header, bytes)
  const record = readManifestRecord(header, parts.manifest)
  const manifest = decodeOnce(header.manifestDigest, record)
  checkLineage(manifest, header)
  const sections = decodeSectionList(header, parts.sections)
  checkComponents(manifest, sections)
  const memoryDigests = decodeMemoryDigests(header, parts.digests, manifest)
  return { header, manifest, manifestVersion: record.version, sections, memoryDigests }
}
