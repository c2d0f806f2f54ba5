/**
 * The fixed header of `state.cryo`. Integers are little endian:
 *
 * ```
 *   0   8  magic: 89 'C' 'R' 'Y' 0D 0A 1A 0A
 *   8   4  format version
 *  12   4  header length: offset of the manifest
 *  16   4  manifest length
 *  20   8  sections length
 *  28  32  SHA-256 of the manifest
 *  60  32  SHA-256 of the sections
 *          from version 2 on:
 *  92   8  length of the memory's digests, which follow the sections; 0 where there are none
 * 100  32  SHA-256 of the memory's digests
 *          from version 3 on:
 * 132  16  id of the snapshot
 * 148  16  id of its parent; zeros where there is none
 * 164  32  digest of the parent's header; zeros where there is none
 *      32  SHA-256 of the header up to here: its last 32 bytes, at 92, 132 or 196 in versions 1, 2 and 3
 * ```
 *
 * Every format version keeps these fields where they are, so that any release can check and describe a file that it
 * cannot read, and tell of what lineage it is. A later version may put more before the header's own digest.
 *
 * That digest stands for the whole snapshot: through the digests in the header it depends on every byte of the file, and
 * through those of the memory on every byte of that. A child names its parent by it.
 *
 * The magic is PNG's idea: a byte that is no text, a CR LF, an end-of-file of DOS and a lone LF, so that a copy that
 * turned line ends or lost the eighth bit shows at once.
 */
import { hash, timingSafeEqual } from "node:crypto"
import { StateCorrupt, StateNotCryovm, type StatePart, StateTooLarge, StateTruncated } from "./envelope-errors.ts"
import { uuidBytes, uuidText } from "./uuid.ts"

/** The format version that this release writes, and the newest that it reads. */
export const FORMAT_VERSION = 3

/** Bytes of the header in each format version, the first being version 1. */
const HEADER_LENGTHS = [124, 164, 228] as const
/** The fewest bytes of a header of any version. */
export const HEADER_BYTES = HEADER_LENGTHS[0]
/** Most bytes that a header of a later version may have. */
export const MAXIMUM_HEADER_BYTES = 4096
export const MAXIMUM_MANIFEST_BYTES = 16 * 1024 * 1024
/** Most bytes of the manifest and the sections together, and so but for the header of the file. */
export const MAXIMUM_STATE_BYTES = 64 * 1024 * 1024

/** Most bytes of the memory's digests: enough for 4 TiB of memory in chunks of 1 MiB. */
export const MAXIMUM_DIGESTS_BYTES = 64 * 1024 * 1024 + 4096

const MAGIC = Uint8Array.of(0x89, 0x43, 0x52, 0x59, 0x0d, 0x0a, 0x1a, 0x0a)
const DIGEST_BYTES = 32
const ID_BYTES = 16
const OFFSET = {
  version: 8,
  header: 12,
  manifest: 16,
  sections: 20,
  manifestDigest: 28,
  sectionsDigest: 60,
  digests: 92,
  digestsDigest: 100,
  id: 132,
  parentId: 148,
  parentDigest: 164,
} as const

/** The parent of a snapshot: its id, and the digest of its header in hexadecimal. */
export interface ParentReference {
  readonly id: string
  readonly digest: string
}

/** Which snapshot a file is, and which one it is a difference to. */
export interface Lineage {
  readonly id: string
  readonly parent: ParentReference | null
}

/** What a header tells. Lengths are in bytes. */
export interface StateHeader {
  readonly formatVersion: number
  readonly headerLength: number
  readonly manifestLength: number
  readonly sectionsLength: number
  /** SHA-256, 32 bytes. */
  readonly manifestDigest: Uint8Array
  /** SHA-256, 32 bytes. */
  readonly sectionsDigest: Uint8Array
  /** 0 in version 1, and where there are none. */
  readonly digestsLength: number
  /** SHA-256, 32 bytes; `undefined` in version 1. */
  readonly digestsDigest: Uint8Array | undefined
  /** `undefined` before version 3. */
  readonly lineage: Lineage | undefined
  /** SHA-256 of the header, in hexadecimal: what a child of this snapshot names it by. */
  readonly digest: string
  /** Bytes of the whole file; of a later format version, the fewest it can have. */
  readonly fileLength: number
}

/** What a header is made of. */
export interface HeaderContent {
  /** 1 to {@link FORMAT_VERSION}. */
  readonly formatVersion: number
  readonly manifest: Uint8Array
  readonly sections: Uint8Array
  /** Empty where there are none; always in version 1. */
  readonly digests: Uint8Array
  readonly lineage: Lineage
}

export const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(hash("sha256", bytes, "buffer"))

/** @throws StateCorrupt */
export const checkDigest = (part: StatePart, bytes: Uint8Array, digest: Uint8Array): void => {
  if (timingSafeEqual(sha256(bytes), digest)) return
  throw new StateCorrupt({ message: `state.cryo is damaged: the ${part} does not match its SHA-256`, part })
}

/** @throws StateTooLarge */
export const checkLimit = (part: StatePart | "file", bytes: number, maximum: number): void => {
  if (bytes <= maximum) return
  throw new StateTooLarge({
    message: `state.cryo is refused: its ${part} is ${bytes} bytes, and at most ${maximum} are read`,
    part,
    bytes,
    maximumBytes: maximum,
  })
}

/** Bytes of a header of a version that is written here. */
const headerLengthOf = (formatVersion: number): number => HEADER_LENGTHS[formatVersion - 1] ?? HEADER_LENGTHS[2]

export const writeHeader = ({ formatVersion, manifest, sections, digests, lineage }: HeaderContent): Uint8Array => {
  const length = headerLengthOf(formatVersion)
  const header = new Uint8Array(length)
  const view = new DataView(header.buffer)
  header.set(MAGIC)
  view.setUint32(OFFSET.version, formatVersion, true)
  view.setUint32(OFFSET.header, length, true)
  view.setUint32(OFFSET.manifest, manifest.length, true)
  view.setBigUint64(OFFSET.sections, BigInt(sections.length), true)
  header.set(sha256(manifest), OFFSET.manifestDigest)
  header.set(sha256(sections), OFFSET.sectionsDigest)
  if (formatVersion >= 2) {
    view.setBigUint64(OFFSET.digests, BigInt(digests.length), true)
    header.set(sha256(digests), OFFSET.digestsDigest)
  }
  if (formatVersion >= 3) {
    header.set(uuidBytes(lineage.id), OFFSET.id)
    if (lineage.parent !== null) {
      header.set(uuidBytes(lineage.parent.id), OFFSET.parentId)
      header.set(Buffer.from(lineage.parent.digest, "hex"), OFFSET.parentDigest)
    }
  }
  header.set(sha256(header.subarray(0, length - DIGEST_BYTES)), length - DIGEST_BYTES)
  return header
}

/** The digest of a header that was written or checked, in hexadecimal. */
export const headerDigest = (header: Uint8Array): string =>
  Buffer.from(header.subarray(header.length - DIGEST_BYTES)).toString("hex")

const readLineage = (bytes: Uint8Array): Lineage => {
  const parentId = bytes.subarray(OFFSET.parentId, OFFSET.parentId + ID_BYTES)
  const parentDigest = bytes.subarray(OFFSET.parentDigest, OFFSET.parentDigest + DIGEST_BYTES)
  const isNone = (field: Uint8Array) => field.every((byte) => byte === 0)
  return {
    id: uuidText(bytes.subarray(OFFSET.id, OFFSET.id + ID_BYTES)),
    parent:
      isNone(parentId) && isNone(parentDigest)
        ? null
        : { id: uuidText(parentId), digest: Buffer.from(parentDigest).toString("hex") },
  }
}

const checkMagic = (bytes: Uint8Array): void => {
  if (bytes.length === 0) throw new StateNotCryovm({ message: "not a cryovm state: the file is empty" })
  const length = Math.min(bytes.length, MAGIC.length)
  const same = (from: number, to: number) => Buffer.compare(bytes.subarray(from, to), MAGIC.subarray(from, to)) === 0
  if (same(0, length)) return
  const named = length > 4 && same(1, 4)
  throw new StateNotCryovm({
    message: named
      ? "not a cryovm state: it was copied as text, which changed its bytes; copy it again in binary mode"
      : "not a cryovm state: it does not begin as one",
  })
}

const truncated = (expectedBytes: number, actualBytes: number) =>
  new StateTruncated({
    message: `state.cryo is cut short: ${actualBytes} bytes of ${expectedBytes}`,
    expectedBytes,
    actualBytes,
  })

/**
 * Reads and checks the header of a file of any format version.
 * @param bytes the file, or its beginning: {@link MAXIMUM_HEADER_BYTES} are always enough
 * @param fileBytes size of the file, where `bytes` is only its beginning
 * @throws StateNotCryovm, StateTruncated, StateCorrupt, StateTooLarge
 */
export const readHeader = (bytes: Uint8Array, fileBytes = bytes.length): StateHeader => {
  checkMagic(bytes)
  if (bytes.length < HEADER_BYTES) throw truncated(HEADER_BYTES, bytes.length)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerLength = view.getUint32(OFFSET.header, true)
  if (headerLength < HEADER_BYTES || headerLength > MAXIMUM_HEADER_BYTES) {
    throw new StateCorrupt({
      message: `state.cryo is damaged: a header of ${headerLength} bytes is not possible`,
      part: "header",
    })
  }
  if (bytes.length < headerLength) throw truncated(headerLength, bytes.length)
  const digestAt = headerLength - DIGEST_BYTES
  checkDigest("header", bytes.subarray(0, digestAt), bytes.subarray(digestAt, headerLength))

  const formatVersion = view.getUint32(OFFSET.version, true)
  const readable = formatVersion <= FORMAT_VERSION
  // A later version may have more in its header, but not less.
  const least = headerLengthOf(formatVersion)
  if (formatVersion === 0 || headerLength < least || (readable && headerLength !== least)) {
    throw new StateCorrupt({
      message: `state.cryo is damaged: format version ${formatVersion} with a header of ${headerLength} bytes`,
      part: "header",
    })
  }
  const manifestLength = view.getUint32(OFFSET.manifest, true)
  // Inexact beyond 2^53, which is far beyond the limit anyway.
  const sectionsLength = Number(view.getBigUint64(OFFSET.sections, true))
  checkLimit("manifest", manifestLength, MAXIMUM_MANIFEST_BYTES)
  // A later version may allow more and put further parts behind: it is to be refused for its version, not for that.
  if (readable) checkLimit("sections", sectionsLength, MAXIMUM_STATE_BYTES - manifestLength)
  const digestsLength = formatVersion >= 2 ? Number(view.getBigUint64(OFFSET.digests, true)) : 0
  if (readable) checkLimit("digests", digestsLength, MAXIMUM_DIGESTS_BYTES)
  const fileLength = headerLength + manifestLength + sectionsLength + digestsLength
  if (fileBytes < fileLength) throw truncated(fileLength, fileBytes)
  if (readable && fileBytes > fileLength) {
    throw new StateCorrupt({
      message: `state.cryo is damaged: ${fileBytes - fileLength} bytes after its end`,
      part: "end",
    })
  }
  return {
    formatVersion,
    headerLength,
    manifestLength,
    sectionsLength,
    manifestDigest: bytes.slice(OFFSET.manifestDigest, OFFSET.sectionsDigest),
    sectionsDigest: bytes.slice(OFFSET.sectionsDigest, OFFSET.sectionsDigest + DIGEST_BYTES),
    digestsLength,
    digestsDigest:
      formatVersion >= 2 ? bytes.slice(OFFSET.digestsDigest, OFFSET.digestsDigest + DIGEST_BYTES) : undefined,
    lineage: formatVersion >= 3 ? readLineage(bytes) : undefined,
    digest: headerDigest(bytes.subarray(0, headerLength)),
    fileLength,
  }
}
