/**
 * ELF64 kernels: an uncompressed `vmlinux`, or any kernel with a PVH entry (System V ABI, "Program Header"; Xen,
 * docs/misc/pvh.pandoc). Segments go to their physical addresses; what follows a segment's bytes in the file, its BSS,
 * is zero in fresh RAM and is not touched.
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import { HIGH_MEMORY_START, lowMemoryEnd } from "../layout.ts"
import { hex, kernelInvalid } from "./kernel-invalid.ts"

export interface ElfSegment {
  /** Where its bytes are in the file. */
  readonly fileOffset: number
  readonly fileSize: number
  /** Where they go, and how much room it takes with its BSS. */
  readonly physicalAddress: number
  readonly memorySize: number
}

export interface ElfKernel {
  readonly segments: readonly ElfSegment[]
  /** `e_entry`, which Linux sets to the physical address of `startup_64`. May be any number. */
  readonly entry: bigint
  /** Entry of the PVH note, in 32-bit protected mode. */
  readonly pvhEntry: number | undefined
  /** End of the highest segment. */
  readonly end: number
}

const EHDR_SIZE = 64
const PHDR_SIZE = 56
const ELFCLASS64 = 2
const ELFDATA2LSB = 1
const ET_EXEC = 2
const ET_DYN = 3
const EM_X86_64 = 62
const PT_LOAD = 1
const PT_NOTE = 4
const MAX_PROGRAM_HEADERS = 128
const XEN_ELFNOTE_PHYS32_ENTRY = 18

const align4 = (value: number): number => (value + 3) & ~3

/** True for the magic of an ELF file. */
export const isElf = (image: Uint8Array): boolean =>
  image.length >= 4 && image[0] === 0x7f && image[1] === 0x45 && image[2] === 0x4c && image[3] === 0x46

/** Entry of `XEN_ELFNOTE_PHYS32_ENTRY` among the notes, which are a sequence of `Elf64_Nhdr`, name and descriptor. */
const findPvhEntry = (view: DataView, start: number, size: number): number | undefined => {
  const end = start + size
  for (let at = start; at + 12 <= end; ) {
    const nameSize = view.getUint32(at, true)
    const descriptorSize = view.getUint32(at + 4, true)
    if (nameSize > size || descriptorSize > size) return undefined
    const name = at + 12
    const descriptor = name + align4(nameSize)
    const next = descriptor + align4(descriptorSize)
    if (descriptor + descriptorSize > end) return undefined
    const isXen = nameSize === 4 && view.getUint32(name, true) === 0x006e6558
    if (isXen && view.getUint32(at + 8, true) === XEN_ELFNOTE_PHYS32_ENTRY) {
      // The note holds a pointer of the kernel's own size; the address has 32 bits either way.
      if (descriptorSize === 4) return view.getUint32(descriptor, true)
      if (descriptorSize === 8 && view.getUint32(descriptor + 4, true) === 0) return view.getUint32(descriptor, true)
      throw kernelInvalid("XEN_ELFNOTE_PHYS32_ENTRY", "the PVH note holds no 32-bit address")
    }
    at = next
  }
  return undefined
}

/** A 64-bit field that has to be a number JavaScript holds exactly. */
const readSafe = (view: DataView, offset: number, field: string): number => {
  const value = view.getBigUint64(offset, true)
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw kernelInvalid(field, `${hex(value)} is past every machine's memory`)
  return Number(value)
}

/**
 * Reads the headers of an ELF kernel and checks them against the file.
 * @throws KernelInvalid
 */
export const parseElf = (image: Uint8Array): ElfKernel => {
  if (!isElf(image)) throw kernelInvalid("e_ident", "it is not an ELF file")
  if (image.length < EHDR_SIZE)
    throw kernelInvalid("e_ident", `the file ends after ${image.length} bytes of its header`)
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength)
  if (image[4] !== ELFCLASS64) throw kernelInvalid("e_ident[EI_CLASS]", "it is not a 64-bit ELF file")
  if (image[5] !== ELFDATA2LSB) throw kernelInvalid("e_ident[EI_DATA]", "it is not little endian")
  const machine = view.getUint16(18, true)
  if (machine !== EM_X86_64) throw kernelInvalid("e_machine", `it is for machine ${machine}, not for x86-64 (62)`)
  const type = view.getUint16(16, true)
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw kernelInvalid("e_type", `it is of type ${type}, not an executable; an object file or a core dump?`)
  }
  const headersAt = readSafe(view, 32, "e_phoff")
  const headerSize = view.getUint16(54, true)
  const count = view.getUint16(56, true)
  if (headerSize !== PHDR_SIZE) throw kernelInvalid("e_phentsize", `program headers of ${headerSize} bytes, not 56`)
  if (count === 0 || count > MAX_PROGRAM_HEADERS) throw kernelInvalid("e_phnum", `${count} program headers`)
  if (headersAt + count * PHDR_SIZE > image.length) {
    throw kernelInvalid("e_phoff", "the program headers lie past the end of the file")
  }

  const segments: ElfSegment[] = []
  let pvhEntry: number | undefined
  for (let index = 0; index < count; index++) {
    const at = headersAt + index * PHDR_SIZE
    const kind = view.getUint32(at, true)
    if (kind !== PT_LOAD && kind !== PT_NOTE) continue
    const fileOffset = readSafe(view, at + 8, "p_offset")
    const fileSize = readSafe(view, at + 32, "p_filesz")
    if (fileOffset + fileSize > image.length) {
      throw kernelInvalid("p_filesz", `segment ${index} ends past the file's ${image.length} bytes; is it truncated?`)
    }
    if (kind === PT_NOTE) {
      pvhEntry ??= findPvhEntry(view, fileOffset, fileSize)
      continue
    }
    const physicalAddress = readSafe(view, at + 24, "p_paddr")
    const memorySize = readSafe(view, at + 40, "p_memsz")
    if (fileSize > memorySize)
      throw kernelInvalid("p_filesz", `segment ${index} has more bytes than it takes in memory`)
    if (memorySize > 0) segments.push({ fileOffset, fileSize, physicalAddress, memorySize })
  }
  if (segments.length === 0) throw kernelInvalid("p_type", "it has no segment to load")
  const end = Math.max(...segments.map((segment) => segment.physicalAddress + segment.memorySize))
  return { segments, entry: view.getBigUint64(24, true), pvhEntry, end }
}

/**
 * Checks where the segments would go.
 * @throws KernelInvalid where one does not fit into RAM, or meets the boot structures below 1 MiB
 */
export const checkElfPlacement = (memory: GuestMemory, kernel: ElfKernel): void => {
  const limit = lowMemoryEnd(memory.size)
  for (const { physicalAddress, memorySize } of kernel.segments) {
    const where = `the segment at ${hex(physicalAddress)}, ${memorySize} bytes long,`
    if (physicalAddress < HIGH_MEMORY_START) {
      throw kernelInvalid("p_paddr", `${where} overlaps the boot structures below 1 MiB`)
    }
    if (physicalAddress + memorySize > limit) {
      throw kernelInvalid("p_memsz", `${where} ends past the RAM below ${hex(limit)}; give the machine more memoryMib`)
    }
  }
}

/**
 * Copies the segments into guest memory.
 * @throws KernelInvalid where one has no place there
 */
export const loadElf = (memory: GuestMemory, image: Uint8Array, kernel: ElfKernel): void => {
  checkElfPlacement(memory, kernel)
  for (const { fileOffset, fileSize, physicalAddress } of kernel.segments) {
    const target = memory.bytes(physicalAddress, fileSize)
    if (target === undefined) throw kernelInvalid("p_paddr", `no RAM at ${hex(physicalAddress)}`)
    target.set(image.subarray(fileOffset, fileOffset + fileSize))
  }
}
