/** Guest memory over plain array buffers, for tests that need no KVM. */
import { type GuestMemory, makeGuestMemory } from "../../src/memory/guest-memory.ts"
import type { NativeMemory } from "../../src/native.ts"

/** A mapping that is only an array buffer; `window` copies where chunks would be straddled, so keep to one chunk. */
export const fakeNativeMemory = (size: number): NativeMemory => {
  const buffer = new ArrayBuffer(size)
  return {
    size,
    chunks: [buffer],
    chunkBytes: size,
    window: (offset, length) => buffer.slice(offset, offset + length),
    dump: () => {
      throw new Error("a fake memory cannot be dumped")
    },
    residentBytes: () => size,
    close: () => undefined,
  }
}

/** RAM of `size` bytes from address 0. */
export const fakeGuestMemory = (size: number): GuestMemory =>
  makeGuestMemory([{ guestAddress: 0, size, memory: fakeNativeMemory(size) }])

/** A range that was asked for. */
export interface AskedRange {
  readonly address: number
  readonly length: number
}

/** The same memory, that keeps a list of every range it gave a view of. */
export const recordingMemory = (
  memory: GuestMemory,
): { readonly memory: GuestMemory; readonly asked: readonly AskedRange[] } => {
  const asked: AskedRange[] = []
  return {
    asked,
    memory: {
      ...memory,
      bytes: (address, length) => {
        const bytes = memory.bytes(address, length)
        if (bytes !== undefined) asked.push({ address, length })
        return bytes
      },
    },
  }
}
