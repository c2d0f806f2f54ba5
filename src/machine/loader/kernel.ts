/** Loads a kernel of whichever kind it is, and says what else it might be. */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import type { BootProtocol } from "../config.ts"
import { IDENTITY_MAPPED } from "../layout.ts"
import { isBzImage, loadBzImage, parseBzImage } from "./bzimage.ts"
import { checkElfPlacement, type ElfKernel, isElf, loadElf, parseElf } from "./elf.ts"
import { hex, kernelInvalid } from "./kernel-invalid.ts"

/** A kernel in guest memory, and what the rest of the boot has to know of it. */
export interface LoadedKernel {
  readonly format: "elf" | "bzImage"
  readonly protocol: "linux64" | "pvh"
  /** Guest-physical address of the first instruction. */
  readonly entry: number
  /** End of the memory the kernel takes at once: what else is loaded goes above. */
  readonly end: number
  /** `struct setup_header` of a bzImage. */
  readonly setupHeader: Uint8Array | undefined
  /** Highest address an initramfs may reach. */
  readonly initrdAddrMax: number
  /** Longest command line without its NUL. */
  readonly cmdlineSize: number
}

/** `INITRD_ADDR_MAX` and `COMMAND_LINE_SIZE` - 1 of every 64-bit x86 Linux, for those that do not tell. */
const INITRD_ADDR_MAX = 0x7fff_ffff
const CMDLINE_SIZE = 2047

const startsWith = (image: Uint8Array, magic: readonly number[], at = 0): boolean =>
  image.length >= at + magic.length && magic.every((byte, index) => image[at + index] === byte)

/** What a file is that is no kernel, in words that help. */
const describeOther = (image: Uint8Array): string => {
  if (image.length === 0) return "the file is empty"
  if (startsWith(image, [0x1f, 0x8b])) return "it is compressed with gzip; unpack it first"
  if (startsWith(image, [0xfd, 0x37, 0x7a, 0x58, 0x5a])) return "it is compressed with xz; unpack it first"
  if (startsWith(image, [0x28, 0xb5, 0x2f, 0xfd])) return "it is compressed with zstd; unpack it first"
  if (startsWith(image, [0x42, 0x5a, 0x68])) return "it is compressed with bzip2; unpack it first"
  if (startsWith(image, [0x04, 0x22, 0x4d, 0x18])) return "it is compressed with lz4; unpack it first"
  if (startsWith(image, [0x41, 0x52, 0x4d, 0x64], 0x38)) return "it is an arm64 Image; a kernel for x86-64 is needed"
  if (startsWith(image, [0x30, 0x37, 0x30, 0x37])) return "it is a cpio archive; is it the initramfs?"
  if (startsWith(image, [0x4d, 0x5a])) return "it is a PE executable without a Linux setup header"
  if (startsWith(image, [0x23, 0x21])) return "it is a script"
  if (image.length < 0x206) return `it has only ${image.length} bytes`
  return "it is neither an ELF file (vmlinux) nor a bzImage"
}

/** True where the address is inside a segment with room for an instruction. */
const isLoaded = (kernel: ElfKernel, address: number): boolean =>
  kernel.segments.some(
    (segment) => address >= segment.physicalAddress && address < segment.physicalAddress + segment.memorySize,
  )

/**
 * How an ELF kernel is entered. Linux names a physical entry in its ELF header and speaks the 64-bit protocol there;
 * others have a virtual one, and are entered by the PVH note.
 */
const elfEntry = (kernel: ElfKernel, wanted: BootProtocol): Pick<LoadedKernel, "protocol" | "entry"> => {
  const entry64 = kernel.entry < IDENTITY_MAPPED ? Number(kernel.entry) : undefined
  const has64 = entry64 !== undefined && isLoaded(kernel, entry64)
  if (wanted === "linux64" || (wanted === "auto" && has64)) {
    if (entry64 === undefined || !has64) {
      throw kernelInvalid("e_entry", `the entry ${hex(kernel.entry)} lies in no segment below 1 GiB`)
    }
    return { protocol: "linux64", entry: entry64 }
  }
  if (kernel.pvhEntry === undefined) {
    throw kernelInvalid(
      "XEN_ELFNOTE_PHYS32_ENTRY",
      wanted === "pvh"
        ? `it has no PVH note; build it with CONFIG_PVH, or leave bootProtocol "auto"`
        : `it has neither a physical entry in its ELF header (${hex(kernel.entry)}) nor a PVH note`,
    )
  }
  if (!isLoaded(kernel, kernel.pvhEntry)) {
    throw kernelInvalid("XEN_ELFNOTE_PHYS32_ENTRY", `the PVH entry ${hex(kernel.pvhEntry)} lies in no segment`)
  }
  return { protocol: "pvh", entry: kernel.pvhEntry }
}

/**
 * Loads `image` into fresh guest memory. Nothing is written when it is refused.
 * @throws KernelInvalid
 */
export const loadKernel = (memory: GuestMemory, image: Uint8Array, bootProtocol: BootProtocol): LoadedKernel => {
  if (isElf(image)) {
    const kernel = parseElf(image)
    checkElfPlacement(memory, kernel)
    const entry = elfEntry(kernel, bootProtocol)
    loadElf(memory, image, kernel)
    return {
      format: "elf",
      ...entry,
      end: kernel.end,
      setupHeader: undefined,
      initrdAddrMax: INITRD_ADDR_MAX,
      cmdlineSize: CMDLINE_SIZE,
    }
  }
  if (!isBzImage(image)) throw kernelInvalid("format", describeOther(image))
  if (bootProtocol === "pvh") {
    throw kernelInvalid("format", `a bzImage has no PVH entry; use the vmlinux it was made of, or bootProtocol "auto"`)
  }
  const kernel = parseBzImage(image)
  const { entry, end } = loadBzImage(memory, image, kernel)
  return {
    format: "bzImage",
    protocol: "linux64",
    entry,
    end,
    setupHeader: kernel.setupHeader,
    initrdAddrMax: kernel.initrdAddrMax || INITRD_ADDR_MAX,
    cmdlineSize: kernel.cmdlineSize || CMDLINE_SIZE,
  }
}
