/**
 * Frames of the guest agent's protocol (`guest/agent/PROTOCOL.md`): a 20-byte header, then the payload.
 */

const MAGIC = 0x4f595243
const CHECK_SALT = 0x5a5a5a5a
const HEADER_BYTES = 20

/** Longest payload of a frame, in bytes. */
export const MAX_PAYLOAD = (1 << 20) + 64

export interface Frame {
  readonly id: number
  readonly op: number
  /** 0 in a request; in a reply 0 or a Linux errno of the guest. */
  readonly status: number
  readonly payload: Uint8Array
}

const checkWord = (id: number, opStatus: number, length: number): number =>
  (MAGIC ^ id ^ opStatus ^ length ^ CHECK_SALT) >>> 0

/** Encodes a request. */
export const encodeFrame = (id: number, op: number, payload: Uint8Array): Uint8Array => {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, id, true)
  view.setUint16(8, op, true)
  view.setUint16(10, 0, true)
  view.setUint32(12, payload.length, true)
  view.setUint32(16, checkWord(id, op, payload.length), true)
  bytes.set(payload, HEADER_BYTES)
  return bytes
}

/**
 * Takes the byte stream of a guest apart into frames. Bytes that do not start a good header are dropped one at a
 * time, so that the tail of a frame meant for another process (before a restore) does no harm. Holds at most one
 * frame's bytes.
 */
export class FrameReader {
  #held: Uint8Array = new Uint8Array(0)

  /** Gives every frame completed by `bytes`. */
  push(bytes: Uint8Array): Frame[] {
    let buffer = bytes
    if (this.#held.length > 0) {
      buffer = new Uint8Array(this.#held.length + bytes.length)
      buffer.set(this.#held)
      buffer.set(bytes, this.#held.length)
    }
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    const frames: Frame[] = []
    let at = 0
    while (buffer.length - at >= HEADER_BYTES) {
      const length = view.getUint32(at + 12, true)
      const id = view.getUint32(at + 4, true)
      const good =
        view.getUint32(at, true) === MAGIC &&
        length <= MAX_PAYLOAD &&
        view.getUint32(at + 16, true) === checkWord(id, view.getUint32(at + 8, true), length)
      if (!good) {
        at++
        continue
      }
      const end = at + HEADER_BYTES + length
      if (end > buffer.length) break
      const op = view.getUint16(at + 8, true)
      const status = view.getUint16(at + 10, true)
      frames.push({ id, op, status, payload: buffer.slice(at + HEADER_BYTES, end) })
      at = end
    }
    // A copy: the caller's bytes may be a view of guest memory.
    this.#held = buffer.slice(at)
    return frames
  }
}
