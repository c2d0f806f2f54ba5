/** Access to the guest memory that the boot structures go to. */
import type { GuestMemory } from "../../memory/guest-memory.ts"

/** A view for writing a boot structure. RAM is there by construction: a machine has at least 32 MiB of it. */
export const bootStructure = (memory: GuestMemory, address: number, size: number): DataView => {
  const bytes = memory.bytes(address, size)
  if (bytes === undefined) {
    throw new RangeError(`no guest memory at 0x${address.toString(16)} for a boot structure of ${size} bytes`)
  }
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
