/**
 * A pass over msgpack bytes before anything is built from them.
 *
 * The decoder trusts its input more than a file from elsewhere deserves: it recurses without bound, makes arrays as
 * long as their header says, keeps the last of two equal keys, renames `__proto__`, and compiles code for its own
 * record extension. Here all of that is refused first, without recursion and without allocating for what is claimed.
 */
import { isUtf8 } from "node:buffer"
import * as Data from "effect/Data"

/** Deepest nesting of arrays and maps that is read or written. */
export const MAXIMUM_DEPTH = 64

/** Bytes that are not the msgpack this project writes, or a value that it cannot write. */
export class MsgpackInvalid extends Data.TaggedError("MsgpackInvalid")<{
  readonly message: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_MSGPACK_INVALID"
}

/** What a map or an array being walked still waits for. */
interface Container {
  /** Values left, keys of maps counted too. */
  left: number
  /** Keys seen so far; `undefined` in an array. */
  readonly keys: Set<string> | undefined
  /** The next value of a map is a key. */
  key: boolean
}

/** Fixed number of bytes after the first, by type byte from 0xca. */
const NUMBER_BYTES = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8] as const

type Kind = "scalar" | "string" | "bytes" | "array" | "map"

/** Looks at every value of a state, so that it makes no object for one. */
class Walker {
  readonly #bytes: Buffer
  #at = 0
  /** Of the value whose head was read last: bytes of a scalar, string or bytes, elements of an array or map. */
  #length = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  walk(): void {
    const open: Container[] = []
    do {
      const parent = open.at(-1)
      const isKey = parent?.key === true
      const kind = this.#head()
      if (isKey && kind !== "string") throw this.#invalid("a map key that is not a string")
      if (kind === "array" || kind === "map") {
        const isMap = kind === "map"
        const values = isMap ? this.#length * 2 : this.#length
        if (values > this.#bytes.length - this.#at) throw this.#invalid("more elements claimed than there are bytes")
        if (open.length >= MAXIMUM_DEPTH) throw this.#invalid(`nesting deeper than ${MAXIMUM_DEPTH}`)
        if (parent !== undefined) this.#count(parent)
        open.push({ left: values, keys: isMap ? new Set() : undefined, key: isMap })
      } else {
        const start = this.#take(this.#length)
        if (kind === "string") this.#text(start, isKey ? parent : undefined)
        if (parent !== undefined) this.#count(parent)
      }
      while (open.at(-1)?.left === 0) open.pop()
    } while (open.length > 0)
    if (this.#at !== this.#bytes.length) throw this.#invalid("bytes after the end")
  }

  #count(parent: Container): void {
    parent.left--
    if (parent.keys !== undefined) parent.key = !parent.key
  }

  /** Text from `start` to here, and the map that it is a key of. */
  #text(start: number, keyOf: Container | undefined): void {
    const content = this.#bytes.subarray(start, this.#at)
    if (!isUtf8(content)) throw this.#invalid("text that is not UTF-8")
    if (keyOf === undefined) return
    const key = content.toString("latin1")
    if (key === "__proto__") throw this.#invalid("the key __proto__")
    if (keyOf.keys?.has(key)) throw this.#invalid(`the key ${JSON.stringify(content.toString())} twice`)
    keyOf.keys?.add(key)
  }

  #head(): Kind {
    const first = this.#unsigned(1)
    this.#length = 0
    if (first <= 0x7f || first >= 0xe0) return "scalar"
    if (first <= 0x8f) return this.#is("map", first & 0x0f)
    if (first <= 0x9f) return this.#is("array", first & 0x0f)
    if (first <= 0xbf) return this.#is("string", first & 0x1f)
    if (first === 0xc0 || first === 0xc2 || first === 0xc3) return "scalar"
    if (first >= 0xc4 && first <= 0xc6) return this.#is("bytes", this.#unsigned(2 ** (first - 0xc4)))
    if (first >= 0xca && first <= 0xd3) return this.#is("scalar", NUMBER_BYTES[first - 0xca] ?? 0)
    if (first >= 0xd9 && first <= 0xdb) return this.#is("string", this.#unsigned(2 ** (first - 0xd9)))
    if (first === 0xdc || first === 0xdd) return this.#is("array", this.#unsigned(2 ** (first - 0xdb)))
    if (first === 0xde || first === 0xdf) return this.#is("map", this.#unsigned(2 ** (first - 0xdd)))
    throw this.#invalid(`the type byte 0x${first.toString(16)}`)
  }

  #is(kind: Kind, length: number): Kind {
    this.#length = length
    return kind
  }

  #unsigned(length: number): number {
    const at = this.#take(length)
    return length === 1 ? (this.#bytes[at] as number) : this.#bytes.readUIntBE(at, length)
  }

  /** Passes over bytes, and gives where they begin. */
  #take(length: number): number {
    const at = this.#at
    if (length > this.#bytes.length - at) throw this.#invalid("an end in the middle of a value")
    this.#at = at + length
    return at
  }

  #invalid(what: string): MsgpackInvalid {
    return new MsgpackInvalid({ message: `not valid msgpack: ${what}, at byte ${this.#at}` })
  }
}

/**
 * Checks that `bytes` are one msgpack value of the kinds this project writes: no extension types, text in UTF-8,
 * distinct string keys, nesting up to {@link MAXIMUM_DEPTH}.
 * @throws MsgpackInvalid
 */
export const checkMsgpack = (bytes: Uint8Array): void => new Walker(bytes).walk()
