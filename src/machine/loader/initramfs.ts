/** Places the initramfs: as high as the kernel takes it, out of the way of what the kernel unpacks and allocates. */
import * as Data from "effect/Data"
import type { GuestMemory } from "../../memory/guest-memory.ts"
import { lowMemoryEnd, PAGE_SIZE } from "../layout.ts"
import { hex } from "./kernel-invalid.ts"

/** An initramfs does not fit into the machine's memory. */
export class InitramfsInvalid extends Data.TaggedError("InitramfsInvalid")<{
  readonly message: string
}> {
  readonly code = "CRYOVM_INITRAMFS_INVALID"
}

/** Where an initramfs lies in guest memory. */
export interface LoadedInitramfs {
  readonly address: number
  readonly size: number
}

/**
 * Copies `image` below both the end of low RAM and `initrdAddrMax`, and above the kernel's end, at a page's start.
 * @throws InitramfsInvalid
 */
export const loadInitramfs = (
  memory: GuestMemory,
  image: Uint8Array,
  kernel: { readonly end: number; readonly initrdAddrMax: number },
): LoadedInitramfs => {
  if (image.length === 0) {
    throw new InitramfsInvalid({ message: `the initramfs is empty; use initramfs: "none" to boot without one` })
  }
  const limit = Math.min(lowMemoryEnd(memory.size), kernel.initrdAddrMax + 1)
  const address = Math.floor((limit - image.length) / PAGE_SIZE) * PAGE_SIZE
  const target = address >= kernel.end ? memory.bytes(address, image.length) : undefined
  if (target === undefined) {
    throw new InitramfsInvalid({
      message: `the initramfs of ${image.length} bytes does not fit between the kernel's end at ${hex(kernel.end)} and ${hex(limit)}; give the machine more memoryMib, or use a smaller initramfs`,
    })
  }
  target.set(image)
  return { address, size: image.length }
}
