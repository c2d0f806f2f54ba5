/**
 * bzImage kernels (Documentation/arch/x86/boot.rst). The protected-mode part is loaded and entered in 64-bit mode, 0x200
 * past its start; the real-mode part is only read for its setup header.
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import { HIGH_MEMORY_START, IDENTITY_MAPPED, lowMemoryEnd } from "../layout.ts"
import { hex, kernelInvalid } from "./kernel-invalid.ts"

/** Offset of the setup header, in the image and in `struct boot_params` alike. */
export const SETUP_HEADER_OFFSET = 0x1f1
/** Length of `struct setup_header` of protocol 2.15, the newest. */
const SETUP_HEADER_SIZE = 123

/** Fields of `struct setup_header`, as offsets in the image. */
const BOOT_FLAG = 0x1fe
const HEADER = 0x202
const VERSION = 0x206
const KERNEL_INFO_OFFSET_END = 0x26c

const MAGIC = 0x53726448 // "HdrS"
const MIN_VERSION = 0x206
/** `xloadflags` came with this one. */
const XLOADFLAGS_VERSION = 0x20c
const XLF_KERNEL_64 = 1
const SECTOR = 512
const ENTRY_64 = 0x200

export interface BzImage {
  /** `version`, for example 0x20f for 2.15. */
  readonly version: number
  /** The setup header to be copied to the same offset of the zero page. */
  readonly setupHeader: Uint8Array
  /** The protected-mode kernel: offset and length in the file. */
  readonly payloadOffset: number
  readonly payloadSize: number
  readonly prefAddress: number
  readonly kernelAlignment: number
  readonly relocatable: boolean
  /** Memory the kernel needs from its load address on, to unpack itself. */
  readonly initSize: number
  readonly initrdAddrMax: number
  /** Longest command line without its NUL. */
  readonly cmdlineSize: number
}

/** True where a setup header's magic is in place. */
export const isBzImage = (image: Uint8Array): boolean => {
  if (image.length < HEADER + 4) return false
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  return view.getUint16(BOOT_FLAG, true) === 0xaa55 && view.getUint32(HEADER, true) === MAGIC
}

/**
 * Reads the setup header and checks it against the file.
 * @throws KernelInvalid
 */
export const parseBzImage = (image: Uint8Array): BzImage => {
  if (!isBzImage(image)) throw kernelInvalid("header", `it has no setup header ("HdrS" at 0x202)`)
  if (image.length < KERNEL_INFO_OFFSET_END) {
    throw kernelInvalid("header", `the file ends after ${image.length} bytes, inside its setup header`)
  }
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  const version = view.getUint16(VERSION, true)
  if (version < MIN_VERSION) {
    throw kernelInvalid("version", `boot protocol ${hex(version)} is older than 2.06; use a kernel of the last decade`)
  }
  const xloadflags = version >= XLOADFLAGS_VERSION ? view.getUint16(0x236, true) : 0
  if ((xloadflags & XLF_KERNEL_64) === 0) {
    throw kernelInvalid("xloadflags", "it has no 64-bit entry (XLF_KERNEL_64); a 32-bit kernel, or one older than 3.8")
  }
  const setupSectors = image[SETUP_HEADER_OFFSET] || 4
  const payloadOffset = (setupSectors + 1) * SECTOR
  const payloadSize = view.getUint32(0x1f4, true) * 16
  if (payloadSize <= ENTRY_64) throw kernelInvalid("syssize", `a protected-mode kernel of ${payloadSize} bytes`)
  if (payloadOffset + payloadSize > image.length + 15) {
    throw kernelInvalid("syssize", `the kernel ends past the file's ${image.length} bytes; is it truncated?`)
  }
  const relocatable = image[0x234] !== 0
  const kernelAlignment = view.getUint32(0x230, true)
  const isPowerOfTwo = kernelAlignment !== 0 && (kernelAlignment & (kernelAlignment - 1)) === 0
  if (relocatable && !isPowerOfTwo) {
    throw kernelInvalid("kernel_alignment", `${hex(kernelAlignment)} is not a power of two`)
  }
  const preferred = view.getBigUint64(0x258, true)
  if (preferred > 0xffff_ffffn) throw kernelInvalid("pref_address", `${hex(preferred)} is above 4 GiB`)
  // The byte at 0x201 is the jump's displacement: the header ends that far after 0x202.
  const headerEnd = 0x202 + (image[0x201] ?? 0)
  const setupHeaderSize = Math.min(Math.max(headerEnd - SETUP_HEADER_OFFSET, 0), SETUP_HEADER_SIZE)
  return {
    version,
    setupHeader: image.slice(SETUP_HEADER_OFFSET, SETUP_HEADER_OFFSET + setupHeaderSize),
    payloadOffset,
    payloadSize: Math.min(payloadSize, image.length - payloadOffset),
    prefAddress: Number(preferred),
    kernelAlignment,
    relocatable,
    initSize: Math.max(view.getUint32(0x260, true), payloadSize),
    initrdAddrMax: view.getUint32(0x22c, true),
    cmdlineSize: view.getUint32(0x238, true),
  }
}

/** Where the kernel goes: where it would like to be, or, if it can be moved, the lowest place it may be. */
const loadAddress = (kernel: BzImage, limit: number): number => {
  const fits = (address: number) => address >= HIGH_MEMORY_START && address + kernel.initSize <= limit
  if (fits(kernel.prefAddress)) return kernel.prefAddress
  if (kernel.relocatable) {
    const lowest = Math.ceil(HIGH_MEMORY_START / kernel.kernelAlignment) * kernel.kernelAlignment
    if (fits(lowest)) return lowest
  }
  throw kernelInvalid(
    "init_size",
    `it needs ${kernel.initSize} bytes of RAM from ${hex(kernel.prefAddress)} on, and the RAM ends at ${hex(limit)}; give the machine more memoryMib`,
  )
}

/**
 * Copies the protected-mode kernel into guest memory.
 * @throws KernelInvalid
 */
export const loadBzImage = (
  memory: GuestMemory,
  image: Uint8Array,
  kernel: BzImage,
): { readonly entry: number; readonly start: number; readonly end: number } => {
  const start = loadAddress(kernel, Math.min(lowMemoryEnd(memory.size), IDENTITY_MAPPED))
  const target = memory.bytes(start, kernel.payloadSize)
  if (target === undefined) throw kernelInvalid("pref_address", `no RAM at ${hex(start)}`)
  target.set(image.subarray(kernel.payloadOffset, kernel.payloadOffset + kernel.payloadSize))
  return { entry: start + ENTRY_64, start, end: start + kernel.initSize }
}
