/** First in, first out, for bytes: a ring that grows as needed up to a bound. */
export class ByteQueue {
  readonly capacity: number
  length = 0
  #bytes: Uint8Array = new Uint8Array(0)
  #start = 0

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get room(): number {
    return this.capacity - this.length
  }

  /** Appends as much of `bytes` as there is room for. Returns how much that was. */
  write(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.room)
    if (count === 0) return 0
    this.#grow(this.length + count)
    const size = this.#bytes.length
    const at = (this.#start + this.length) % size
    const first = Math.min(count, size - at)
    this.#bytes.set(bytes.subarray(0, first), at)
    this.#bytes.set(bytes.subarray(first, count), 0)
    this.length += count
    return count
  }

  /** Takes bytes out, as many as `into` holds. Returns how many there were. */
  read(into: Uint8Array): number {
    const count = this.#peek(into)
    this.drop(count)
    return count
  }

  /** Takes one byte out; -1 where there is none. */
  shift(): number {
    if (this.length === 0) return -1
    const byte = this.#bytes[this.#start]!
    this.drop(1)
    return byte
  }

  /** Forgets the oldest `count` bytes; none where that is negative. */
  drop(count: number): void {
    const dropped = Math.max(0, Math.min(count, this.length))
    this.length -= dropped
    this.#start = this.length === 0 ? 0 : (this.#start + dropped) % this.#bytes.length
  }

  clear(): void {
    this.drop(this.length)
  }

  /** A copy of all there is, oldest first. */
  toBytes(): Uint8Array {
    const copy = new Uint8Array(this.length)
    this.#peek(copy)
    return copy
  }

  #peek(into: Uint8Array): number {
    const count = Math.min(into.length, this.length)
    const first = Math.min(count, this.#bytes.length - this.#start)
    into.set(this.#bytes.subarray(this.#start, this.#start + first))
    into.set(this.#bytes.subarray(0, count - first), first)
    return count
  }

  #grow(needed: number): void {
    if (needed <= this.#bytes.length) return
    const bytes = new Uint8Array(Math.min(this.capacity, Math.max(256, needed, 2 * this.#bytes.length)))
    this.#peek(bytes)
    this.#bytes = bytes
    this.#start = 0
  }
}
