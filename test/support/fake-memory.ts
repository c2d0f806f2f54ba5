/** Guest memory over plain array buffers, for tests that need no KVM. */
import type { GuestMemory } from "../../src/memory/guest-memory.ts"

/** RAM of `size` bytes from address 0. */
export const fakeGuestMemory = (size: number): GuestMemory => {
  const ram = new Uint8Array(size)
  const contains = (address: number, length: number): boolean =>
    Number.isSafeInteger(address) && address >= 0 && length >= 0 && address + length <= size
  return {
    size,
    regions: [{ guestAddress: 0, size }],
    contains,
    bytes: (address, length) => (contains(address, length) ? ram.subarray(address, address + length) : undefined),
  }
}

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
