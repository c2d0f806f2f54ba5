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

type Shape =
  | { readonly type: "scalar" | "string" | "bytes"; readonly length: number }
  | { readonly type: "array" | "map"; readonly length: number }

/** Fixed number of bytes after the first, by type byte from 0xca. */
const NUMBER_BYTES = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8] as const

class Walker {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  walk(): void {
    const open: Container[] = []
    do {
      const parent = open.at(-1)
      const isKey = parent?.key === true
      const shape = this.#shape()
      if (isKey && shape.type !== "string") throw this.#invalid("a map key that is not a string")
      if (shape.type === "array" || shape.type === "map") {
        const values = shape.type === "map" ? shape.length * 2 : shape.length
        if (values > this.#bytes.length - this.#at) throw this.#invalid("more elements claimed than there are bytes")
        if (open.length >= MAXIMUM_DEPTH) throw this.#invalid(`nesting deeper than ${MAXIMUM_DEPTH}`)
        if (parent !== undefined) this.#count(parent)
        open.push({ left: values, keys: shape.type === "map" ? new Set() : undefined, key: shape.type === "map" })
      } else {
        const content = this.#take(shape.length)
        if (shape.type === "string" && !isUtf8(content)) throw this.#invalid("text that is not UTF-8")
        if (isKey) this.#key(parent, content)
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

  #key(parent: Container, content: Buffer): void {
    const key = content.toString("latin1")
    if (key === "__proto__") throw this.#invalid("the key __proto__")
    if (parent.keys?.has(key)) throw this.#invalid(`the key ${JSON.stringify(content.toString())} twice`)
    parent.keys?.add(key)
  }

  #shape(): Shape {
    const first = this.#unsigned(1)
    if (first <= 0x7f || first >= 0xe0) return { type: "scalar", length: 0 }
    if (first <= 0x8f) return { type: "map", length: first & 0x0f }
    if (first <= 0x9f) return { type: "array", length: first & 0x0f }
    if (first <= 0xbf) return { type: "string", length: first & 0x1f }
    if (first === 0xc0 || first === 0xc2 || first === 0xc3) return { type: "scalar", length: 0 }
    if (first >= 0xc4 && first <= 0xc6) return { type: "bytes", length: this.#unsigned(2 ** (first - 0xc4)) }
    if (first >= 0xca && first <= 0xd3) return { type: "scalar", length: NUMBER_BYTES[first - 0xca] ?? 0 }
    if (first >= 0xd9 && first <= 0xdb) return { type: "string", length: this.#unsigned(2 ** (first - 0xd9)) }
    if (first === 0xdc || first === 0xdd) return { type: "array", length: this.#unsigned(2 ** (first - 0xdb)) }
    if (first === 0xde || first === 0xdf) return { type: "map", length: this.#unsigned(2 ** (first - 0xdd)) }
    throw this.#invalid(`the type byte 0x${first.toString(16)}`)
  }

  #unsigned(length: number): number {
    const at = this.#at
    this.#take(length)
    return this.#bytes.readUIntBE(at, length)
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw this.#invalid("an end in the middle of a value")
    const taken = this.#bytes.subarray(this.#at, this.#at + length)
    this.#at += length
    return taken
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
