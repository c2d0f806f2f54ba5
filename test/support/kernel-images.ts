/** Kernel images made for tests: just enough of an ELF file, or of a bzImage. */

export interface ElfSegmentOptions {
  readonly physicalAddress: number
  readonly bytes: Uint8Array
  /** The size of `bytes`, unless there is a BSS. */
  readonly memorySize?: number
}

export interface ElfOptions {
  readonly entry?: number | bigint
  readonly segments?: readonly ElfSegmentOptions[]
  /** Adds the note XEN_ELFNOTE_PHYS32_ENTRY. */
  readonly pvhEntry?: number
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Elf64_Nhdr, "Xen\0", and a descriptor of 8 bytes; after a note of another owner, as in a real kernel. */
const pvhNote = (entry: number): Uint8Array => {
  const note = new Uint8Array(20 + 24)
  const view = viewOf(note)
  view.setUint32(0, 4, true)
  view.setUint32(4, 3, true)
  view.setUint32(8, 1, true)
  note.set(new TextEncoder().encode("GNU\0"), 12)
  view.setUint32(20, 4, true)
  view.setUint32(24, 8, true)
  view.setUint32(28, 18, true)
  note.set(new TextEncoder().encode("Xen\0"), 32)
  view.setUint32(36, entry, true)
  return note
}

export const elfImage = (options: ElfOptions = {}): Uint8Array => {
  const segments = options.segments ?? [{ physicalAddress: 0x100_0000, bytes: new Uint8Array(4096).fill(0x90) }]
  const note = options.pvhEntry === undefined ? undefined : pvhNote(options.pvhEntry)
  const count = segments.length + (note === undefined ? 0 : 1)
  const dataAt = 64 + count * 56
  const size = dataAt + segments.reduce((total, segment) => total + segment.bytes.length, note?.length ?? 0)
  const image = new Uint8Array(size)
  const view = viewOf(image)
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 2, true)
  view.setUint16(18, 62, true)
  view.setUint32(20, 1, true)
  view.setBigUint64(24, BigInt(options.entry ?? segments[0]?.physicalAddress ?? 0), true)
  view.setBigUint64(32, 64n, true)
  view.setUint16(52, 64, true)
  view.setUint16(54, 56, true)
  view.setUint16(56, count, true)
  let at = dataAt
  const header = (index: number, type: number, bytes: Uint8Array, physicalAddress: number, memorySize: number) => {
    const start = 64 + index * 56
    view.setUint32(start, type, true)
    view.setUint32(start + 4, 7, true)
    view.setBigUint64(start + 8, BigInt(at), true)
    view.setBigUint64(start + 16, BigInt(physicalAddress) + 0xffff_ffff_8000_0000n, true)
    view.setBigUint64(start + 24, BigInt(physicalAddress), true)
    view.setBigUint64(start + 32, BigInt(bytes.length), true)
    view.setBigUint64(start + 40, BigInt(memorySize), true)
    image.set(bytes, at)
    at += bytes.length
  }
  segments.forEach((segment, index) => {
    header(index, 1, segment.bytes, segment.physicalAddress, segment.memorySize ?? segment.bytes.length)
  })
  if (note !== undefined) header(segments.length, 4, note, 0, note.length)
  return image
}

export interface BzImageOptions {
  readonly payload?: Uint8Array
  readonly version?: number
  readonly xloadflags?: number
  readonly prefAddress?: number
  readonly relocatable?: boolean
  readonly kernelAlignment?: number
  readonly initSize?: number
  readonly initrdAddrMax?: number
  readonly cmdlineSize?: number
  readonly setupSectors?: number
}

export const bzImage = (options: BzImageOptions = {}): Uint8Array => {
  const payload = options.payload ?? new Uint8Array(8192).fill(0xcc)
  const setupSectors = options.setupSectors ?? 4
  const image = new Uint8Array((setupSectors + 1) * 512 + payload.length)
  const view = viewOf(image)
  image[0x1f1] = setupSectors
  view.setUint32(0x1f4, payload.length / 16, true)
  view.setUint16(0x1fe, 0xaa55, true)
  view.setUint16(0x200, 0x6aeb, true)
  view.setUint32(0x202, 0x53726448, true)
  view.setUint16(0x206, options.version ?? 0x20f, true)
  image[0x211] = 1
  view.setUint32(0x214, 0x100000, true)
  view.setUint32(0x22c, options.initrdAddrMax ?? 0x7fffffff, true)
  view.setUint32(0x230, options.kernelAlignment ?? 0x200000, true)
  image[0x234] = (options.relocatable ?? true) ? 1 : 0
  view.setUint16(0x236, options.xloadflags ?? 1, true)
  view.setUint32(0x238, options.cmdlineSize ?? 2047, true)
  view.setBigUint64(0x258, BigInt(options.prefAddress ?? 0x100_0000), true)
  view.setUint32(0x260, options.initSize ?? payload.length, true)
  image.set(payload, (setupSectors + 1) * 512)
  return image
}
