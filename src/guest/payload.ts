/**
 * Payloads of the guest agent's protocol: little-endian integers, and strings as a 32-bit length and bytes.
 */

/** Builds a payload field by field. */
export class PayloadWriter {
  readonly #parts: Uint8Array[] = []

  u32(value: number): this {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setUint32(0, value, true)
    this.#parts.push(bytes)
    return this
  }

  u64(value: bigint): this {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setBigUint64(0, value, true)
    this.#parts.push(bytes)
    return this
  }

  bytes(value: Uint8Array | string): this {
    const bytes = typeof value === "string" ? Buffer.from(value) : value
    this.u32(bytes.length)
    this.#parts.push(bytes)
    return this
  }

  finish(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts))
  }
}

/** A reply is shorter than its op demands: the guest is not to be trusted with more than an error. */
export class PayloadTooShort extends RangeError {
  override readonly name = "PayloadTooShort"
}

/** Reads a payload field by field. */
export class PayloadReader {
  readonly #view: DataView
  #at = 0

  constructor(payload: Uint8Array) {
    this.#view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }

  bytes(): Uint8Array {
    const length = this.u32()
    const start = this.#take(length)
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + start, length)
  }

  text(): string {
    return Buffer.from(this.bytes()).toString("utf8")
  }

  #take(length: number): number {
    const start = this.#at
    if (start + length > this.#view.byteLength) {
      throw new PayloadTooShort(`${length} bytes wanted at ${start} of ${this.#view.byteLength}`)
    }
    this.#at = start + length
    return start
  }
}
