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
 *      32  SHA-256 of the header up to here: its last 32 bytes, at 92 in version 1
 * ```
 *
 * Every format version keeps these fields where they are, so that any release can check and describe a file that it
 * cannot read. A later version may put more between the sections' digest and the header's.
 *
 * The magic is PNG's idea: a byte that is no text, a CR LF, an end-of-file of DOS and a lone LF, so that a copy that
 * turned line ends or lost the eighth bit shows at once.
 */
import { hash, timingSafeEqual } from "node:crypto"
import { StateCorrupt, StateNotCryovm, StateTooLarge, StateTruncated } from "./envelope-errors.ts"

/** The format version that this release writes, and the newest that it reads. */
export const FORMAT_VERSION = 1

/** Bytes of the header in format version 1, and the fewest in any. */
export const HEADER_BYTES = 124
/** Most bytes that a header of a later version may have. */
export const MAXIMUM_HEADER_BYTES = 4096
export const MAXIMUM_MANIFEST_BYTES = 16 * 1024 * 1024
/** Most bytes of the manifest and the sections together, and so but for the header of the file. */
export const MAXIMUM_STATE_BYTES = 64 * 1024 * 1024

const MAGIC = Uint8Array.of(0x89, 0x43, 0x52, 0x59, 0x0d, 0x0a, 0x1a, 0x0a)
const DIGEST_BYTES = 32
const OFFSET = { version: 8, header: 12, manifest: 16, sections: 20, manifestDigest: 28, sectionsDigest: 60 } as const

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
  /** Bytes of the whole file; of a later format version, the fewest it can have. */
  readonly fileLength: number
}

export const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(hash("sha256", bytes, "buffer"))

/** @throws StateCorrupt */
export const checkDigest = (part: "header" | "manifest" | "sections", bytes: Uint8Array, digest: Uint8Array): void => {
  if (timingSafeEqual(sha256(bytes), digest)) return
  throw new StateCorrupt({ message: `state.cryo is damaged: the ${part} does not match its SHA-256`, part })
}

/** @throws StateTooLarge */
export const checkLimit = (part: "header" | "manifest" | "sections" | "file", bytes: number, maximum: number): void => {
  if (bytes <= maximum) return
  throw new StateTooLarge({
    message: `state.cryo is refused: its ${part} is ${bytes} bytes, and at most ${maximum} are read`,
    part,
    bytes,
    maximumBytes: maximum,
  })
}

/** The header of version 1 over these bytes. */
export const writeHeader = (formatVersion: number, manifest: Uint8Array, sections: Uint8Array): Uint8Array => {
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  header.set(MAGIC)
  view.setUint32(OFFSET.version, formatVersion, true)
  view.setUint32(OFFSET.header, HEADER_BYTES, true)
  view.setUint32(OFFSET.manifest, manifest.length, true)
  view.setBigUint64(OFFSET.sections, BigInt(sections.length), true)
  header.set(sha256(manifest), OFFSET.manifestDigest)
  header.set(sha256(sections), OFFSET.sectionsDigest)
  header.set(sha256(header.subarray(0, HEADER_BYTES - DIGEST_BYTES)), HEADER_BYTES - DIGEST_BYTES)
  return header
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
  if (formatVersion === 0 || (formatVersion === 1 && headerLength !== HEADER_BYTES)) {
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
  const readable = formatVersion <= FORMAT_VERSION
  if (readable) checkLimit("sections", sectionsLength, MAXIMUM_STATE_BYTES - manifestLength)
  const fileLength = headerLength + manifestLength + sectionsLength
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
    fileLength,
  }
}
