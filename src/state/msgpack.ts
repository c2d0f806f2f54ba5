/**
 * The codec under every payload: msgpack with fixed options, so that the same state always gives the same bytes.
 *
 * Keys are written sorted; `undefined` properties are left out; bytes are copied out of the input on reading, so that
 * a decoded state does not keep a file's buffer alive. Extension types are not read.
 */
import { type Options, Packr, Unpackr } from "msgpackr"

const options: Options = {
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  // "auto" gives a bigint only where a number would not be exact; the package's types do not list it.
  int64AsType: "auto" as "bigint",
  useToJSON: false,
  moreTypes: false,
  copyBuffers: true,
}

const packr = new Packr(options)
const unpackr = new Unpackr(options)

const sorted = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return value
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, entry]) => entry !== undefined)
    entries.sort(([a], [b]) => (a < b ? -1 : 1))
    return Object.fromEntries(entries.map(([key, entry]) => [key, sorted(entry)]))
  }
  return value
}

/** A plain view of bytes that msgpackr made as a Node `Buffer`. */
const plainBytes = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const plain = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return plainBytes(value)
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plain(entry)]))
  }
  return value
}

/** Encodes plain objects, arrays, strings, numbers, bigints, booleans, null and `Uint8Array`. */
export const encodeMsgpack = (value: unknown): Uint8Array => new Uint8Array(packr.pack(sorted(value)))

/** Decodes one value; throws on truncated, trailing or malformed input. Bytes come back as plain `Uint8Array`. */
export const decodeMsgpack = (bytes: Uint8Array): unknown => plain(unpackr.unpack(bytes))
