/** Guest memory over plain array buffers, for tests that lay out rings. */
import { type GuestMemory, makeGuestMemory } from "../../src/memory/guest-memory.ts"
import type { NativeMemory } from "../../src/native.ts"

export interface RingMemory extends GuestMemory {
  /** All bytes of the first region. */
  readonly raw: Uint8Array
  readonly view: DataView
}

const fakeNative = (buffer: ArrayBuffer): NativeMemory => ({
  size: buffer.byteLength,
  chunks: [buffer],
  chunkBytes: buffer.byteLength,
  window: () => {
    throw new Error("one chunk straddles nothing")
  },
  dump: () => {
    throw new Error("not in this test")
  },
  residentBytes: () => buffer.byteLength,
  close: () => {},
})

/** One region of `size` bytes at `base`, and a second of as many at `second`, if given. */
export const makeRingMemory = (size: number, base = 0, second?: number): RingMemory => {
  const buffer = new ArrayBuffer(size)
  const regions = [{ guestAddress: base, size, memory: fakeNative(buffer) }]
  if (second !== undefined) regions.push({ guestAddress: second, size, memory: fakeNative(new ArrayBuffer(size)) })
  return { ...makeGuestMemory(regions), raw: new Uint8Array(buffer), view: new DataView(buffer) }
}
