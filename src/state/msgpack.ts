/**
 * The codec under every payload: msgpack with fixed options, so that the same state always gives the same bytes.
 *
 * Keys are written sorted; `undefined` properties are left out; bytes are copied out of the input on reading, so that
 * a decoded state does not keep a file's buffer alive. Extension types are neither written nor read.
 */
import { type Options, Packr, Unpackr } from "msgpackr"
import { checkMsgpack, MAXIMUM_DEPTH, MsgpackInvalid } from "./msgpack-check.ts"

export { MsgpackInvalid } from "./msgpack-check.ts"

const options: Options = {
  useRecords: false,
  mapsAsObjects: true,
  variableMapSize: true,
  // Not "auto", which gives 2^53 as a number although it is no safe integer: `plain` decides instead.
  int64AsType: "bigint",
  useToJSON: false,
  moreTypes: false,
  copyBuffers: true,
}

const packr = new Packr(options)
const unpackr = new Unpackr(options)

const MAXIMUM_U64 = (1n << 64n) - 1n
const MINIMUM_I64 = -(1n << 63n)

const unwritable = (what: string, cause?: unknown) =>
  new MsgpackInvalid({ message: `cannot be written as msgpack: ${what}`, cause })

const text = (value: string): string => {
  // A lone surrogate has no UTF-8 and would come back as another string.
  if (/\p{Surrogate}/u.test(value)) throw unwritable("text with a lone surrogate")
  return value
}

const isPlainObject = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The value with its keys in order, refusing what the packer would write as something else. */
const sorted = (value: unknown, depth: number): unknown => {
  if (value === null || typeof value === "boolean" || typeof value === "number") return value
  if (typeof value === "string") return text(value)
  if (typeof value === "bigint") {
    if (value > MAXIMUM_U64 || value < MINIMUM_I64) throw unwritable("an integer of more than 64 bits")
    return value
  }
  if (value instanceof Uint8Array) return value
  if (depth >= MAXIMUM_DEPTH) throw unwritable(`nesting deeper than ${MAXIMUM_DEPTH}`)
  if (Array.isArray(value)) return Array.from(value, (entry) => sorted(entry, depth + 1))
  if (typeof value === "object" && isPlainObject(value)) {
    const entries = Object.entries(value).filter(([, entry]) => entry !== undefined)
    entries.sort(([a], [b]) => (a < b ? -1 : 1))
    return Object.fromEntries(
      entries.map(([key, entry]) => {
        if (key === "__proto__") throw unwritable("the key __proto__")
        return [text(key), sorted(entry, depth + 1)]
      }),
    )
  }
  throw unwritable(typeof value === "object" ? (value.constructor?.name ?? "an object") : typeof value)
}

/** A plain view of bytes that msgpackr made as a Node `Buffer`. */
const plainBytes = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const isSafe = (value: bigint): boolean =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)

/** Changes what was unpacked in place: nobody else has it yet, and a state has thousands of values. */
const plain = (value: unknown): unknown => {
  if (typeof value === "bigint") return isSafe(value) ? Number(value) : value
  if (typeof value !== "object" || value === null) return value
  if (value instanceof Uint8Array) return plainBytes(value)
  const entries = value as Record<string, unknown>
  for (const key of Object.keys(entries)) {
    const entry = entries[key]
    if (typeof entry === "object" || typeof entry === "bigint") entries[key] = plain(entry)
  }
  return entries
}

/**
 * Encodes plain objects, arrays, strings, numbers, bigints of 64 bits, booleans, null and `Uint8Array`.
 * @throws MsgpackInvalid for any other value, which the packer would change silently
 */
export const encodeMsgpack = (value: unknown): Uint8Array => new Uint8Array(packr.pack(sorted(value, 0)))

/**
 * Decodes one value. Bytes come back as plain `Uint8Array`, integers that are not safe as numbers as bigint.
 * @throws MsgpackInvalid for truncated, trailing, malformed or hostile input
 */
export const decodeMsgpack = (bytes: Uint8Array): unknown => {
  checkMsgpack(bytes)
  try {
    return plain(unpackr.unpack(bytes))
  } catch (cause) {
    throw new MsgpackInvalid({ message: `not valid msgpack: ${String(cause)}`, cause })
  }
}
