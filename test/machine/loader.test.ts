import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { parseBzImage } from "../../src/machine/loader/bzimage.ts"
import { parseElf } from "../../src/machine/loader/elf.ts"
import { InitramfsInvalid, loadInitramfs } from "../../src/machine/loader/initramfs.ts"
import { loadKernel } from "../../src/machine/loader/kernel.ts"
import { KernelInvalid } from "../../src/machine/loader/kernel-invalid.ts"
import { fakeGuestMemory, recordingMemory } from "../support/fake-memory.ts"
import { bzImage, elfImage } from "../support/kernel-images.ts"

const MIB = 2 ** 20
const ram = fakeGuestMemory(32 * MIB)

/** The error that loading `image` fails with; also proves that no memory was asked for. */
const refusal = (image: Uint8Array, protocol: "auto" | "linux64" | "pvh" = "auto"): KernelInvalid => {
  const { memory, asked } = recordingMemory(ram)
  try {
    loadKernel(memory, image, protocol)
  } catch (error) {
    assert.instance(error, KernelInvalid)
    assert.is(asked.length, 0, "a refused image leaves memory alone")
    return error as KernelInvalid
  }
  throw new Error("the image was accepted")
}

test("an ELF kernel goes to its physical addresses, without its BSS", () => {
  const { memory, asked } = recordingMemory(fakeGuestMemory(32 * MIB))
  const text = Uint8Array.from({ length: 5000 }, (_, index) => index)
  const image = elfImage({
    segments: [
      { physicalAddress: 0x100_0000, bytes: text, memorySize: 0x10000 },
      { physicalAddress: 0x120_0000, bytes: new Uint8Array([1, 2, 3]) },
    ],
  })
  const kernel = loadKernel(memory, image, "auto")
  assert.is(kernel.protocol, "linux64")
  assert.is(kernel.entry, 0x100_0000)
  assert.is(kernel.end, 0x120_0003)
  assert.equal(asked, [
    { address: 0x100_0000, length: 5000 },
    { address: 0x120_0000, length: 3 },
  ])
  assert.equal(memory.bytes(0x100_0000, 5000)?.slice(), text)
  assert.is(memory.bytes(0x100_0000 + 5000, 1)?.[0], 0)
})

test("the PVH note is found, and used where the ELF entry is virtual or it is asked for", () => {
  const both = elfImage({ pvhEntry: 0x100_0010 })
  assert.is(loadKernel(ram, both, "auto").protocol, "linux64")
  assert.equal([loadKernel(ram, both, "pvh").protocol, loadKernel(ram, both, "pvh").entry], ["pvh", 0x100_0010])
  const virtual = elfImage({ entry: 0xffff_ffff_8100_0000n, pvhEntry: 0x100_0010 })
  assert.is(loadKernel(ram, virtual, "auto").protocol, "pvh")
  assert.is(refusal(virtual, "linux64").field, "e_entry")
  assert.is(refusal(elfImage(), "pvh").field, "XEN_ELFNOTE_PHYS32_ENTRY")
  assert.is(refusal(elfImage({ entry: 1 })).field, "XEN_ELFNOTE_PHYS32_ENTRY")
  assert.is(refusal(elfImage({ pvhEntry: 0x1000 }), "pvh").field, "XEN_ELFNOTE_PHYS32_ENTRY")
})

test("each field of an ELF header that cannot be is named", () => {
  const change = (edit: (view: DataView) => void): string => {
    const image = elfImage()
    edit(new DataView(image.buffer))
    return refusal(image).field
  }
  assert.is(
    change((view) => view.setUint8(4, 1)),
    "e_ident[EI_CLASS]",
  )
  assert.is(
    change((view) => view.setUint8(5, 2)),
    "e_ident[EI_DATA]",
  )
  assert.is(
    change((view) => view.setUint16(16, 1, true)),
    "e_type",
  )
  assert.is(
    change((view) => view.setUint16(18, 183, true)),
    "e_machine",
  )
  assert.is(
    change((view) => view.setBigUint64(32, 1n << 60n, true)),
    "e_phoff",
  )
  assert.is(
    change((view) => view.setBigUint64(32, 4200n, true)),
    "e_phoff",
  )
  assert.is(
    change((view) => view.setUint16(54, 32, true)),
    "e_phentsize",
  )
  assert.is(
    change((view) => view.setUint16(56, 0, true)),
    "e_phnum",
  )
  assert.is(
    change((view) => view.setUint16(56, 0xffff, true)),
    "e_phnum",
  )
  assert.is(
    change((view) => view.setUint32(64, 6, true)),
    "p_type",
  )
  assert.is(
    change((view) => view.setBigUint64(64 + 8, (1n << 64n) - 1n, true)),
    "p_offset",
  )
  assert.is(
    change((view) => view.setBigUint64(64 + 8, 121n, true)),
    "p_filesz",
  )
  assert.is(
    change((view) => view.setBigUint64(64 + 24, 0x7000n, true)),
    "p_paddr",
  )
  assert.is(
    change((view) => view.setBigUint64(24, 0n, true)),
    "XEN_ELFNOTE_PHYS32_ENTRY",
  )
  assert.is(
    change((view) => view.setBigUint64(64 + 40, 16n, true)),
    "p_filesz",
  )
  assert.is(
    change((view) => view.setBigUint64(64 + 40, 32n << 20n, true)),
    "p_memsz",
  )
})

test("a bzImage goes where it prefers, else to the lowest place it may be", () => {
  const { memory, asked } = recordingMemory(ram)
  const payload = new Uint8Array(4096).fill(7)
  const kernel = loadKernel(memory, bzImage({ payload, initSize: 0x10000, cmdlineSize: 100 }), "auto")
  assert.is(kernel.format, "bzImage")
  assert.is(kernel.entry, 0x100_0200)
  assert.is(kernel.end, 0x101_0000)
  assert.is(kernel.cmdlineSize, 100)
  assert.equal(asked, [{ address: 0x100_0000, length: 4096 }])
  assert.is(loadKernel(ram, bzImage({ prefAddress: 31 * MIB, initSize: 2 * MIB }), "auto").entry, 2 * MIB + 0x200)
  const fixed = bzImage({ prefAddress: 31 * MIB, initSize: 2 * MIB, relocatable: false })
  assert.is(refusal(fixed).field, "init_size")
  assert.is(refusal(bzImage({ initSize: 40 * MIB })).field, "init_size")
})

test("each field of a setup header that cannot be is named", () => {
  assert.is(refusal(bzImage({ version: 0x205 })).field, "version")
  assert.is(refusal(bzImage({ version: 0x20b })).field, "xloadflags")
  assert.is(refusal(bzImage({ xloadflags: 2 })).field, "xloadflags")
  assert.is(refusal(bzImage({ payload: new Uint8Array(512) })).field, "syssize")
  assert.is(refusal(bzImage().subarray(0, 5000)).field, "syssize")
  assert.is(refusal(bzImage().subarray(0, 0x250)).field, "header")
  assert.is(refusal(bzImage({ kernelAlignment: 0x300000 })).field, "kernel_alignment")
  assert.is(refusal(bzImage({ prefAddress: 2 ** 33 })).field, "pref_address")
  assert.is(refusal(bzImage(), "pvh").field, "format")
})

test("the setup header is taken as long as the image says it is", () => {
  assert.is(parseBzImage(bzImage()).setupHeader.length, 0x202 + 0x6a - 0x1f1)
})

test("what is no kernel is called by its name", () => {
  const magic = (...bytes: number[]) => Uint8Array.from([...bytes, ...new Uint8Array(1024)])
  const arm = new Uint8Array(1024)
  arm.set(new TextEncoder().encode("ARMd"), 0x38)
  const cases: readonly (readonly [Uint8Array, RegExp])[] = [
    [new Uint8Array(0), /empty/],
    [new Uint8Array(100), /only 100 bytes/],
    [magic(0x1f, 0x8b), /gzip/],
    [magic(0xfd, 0x37, 0x7a, 0x58, 0x5a), /xz/],
    [magic(0x28, 0xb5, 0x2f, 0xfd), /zstd/],
    [magic(0x4d, 0x5a), /PE executable/],
    [magic(0x30, 0x37, 0x30, 0x37, 0x30, 0x31), /cpio/],
    [arm, /arm64/],
    [magic(1, 2, 3), /neither/],
  ]
  for (const [image, expected] of cases) {
    const error = refusal(image)
    assert.is(error.field, "format")
    assert.match(error.message, expected)
  }
})

/** Loads whatever it is given: either it is refused with the one error, or every write lies in RAM above 1 MiB. */
const loadsOrRefuses = (image: Uint8Array): void => {
  for (const protocol of ["auto", "pvh"] as const) {
    const { memory, asked } = recordingMemory(ram)
    try {
      const kernel = loadKernel(memory, image, protocol)
      assert.ok(Number.isSafeInteger(kernel.entry) && kernel.entry < kernel.end && kernel.end <= ram.size)
    } catch (error) {
      assert.instance(error, KernelInvalid)
      assert.is(asked.length, 0)
    }
    for (const { address, length } of asked) assert.ok(address >= MIB && address + length <= ram.size)
  }
}

const edits = fc.array(fc.tuple(fc.nat(200), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255))), {
  minLength: 1,
  maxLength: 6,
})

test("no mutation of an ELF file does anything but load or be refused", () => {
  const original = elfImage({ pvhEntry: 0x100_0010 })
  fc.assert(
    fc.property(edits, fc.nat(original.length), fc.boolean(), (changes, length, truncate) => {
      const image = original.slice(0, truncate ? length : original.length)
      for (const [at, value] of changes) if (at < image.length) image[at] = value
      loadsOrRefuses(image)
    }),
    { numRuns: 3000 },
  )
})

test("no PVH note makes the reader loop or look outside", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 44, maxLength: 44 }), (note) => {
      const image = elfImage({ pvhEntry: 0 })
      image.set(note, image.length - 44)
      loadsOrRefuses(image)
    }),
    { numRuns: 1000 },
  )
})

test("no mutation of a bzImage does anything but load or be refused", () => {
  const original = bzImage()
  fc.assert(
    fc.property(edits, fc.nat(original.length), fc.boolean(), (changes, length, truncate) => {
      const image = original.slice(0, truncate ? length : original.length)
      for (const [at, value] of changes) if (at + 0x1f1 < image.length) image[at + 0x1f1] = value
      loadsOrRefuses(image)
    }),
    { numRuns: 3000 },
  )
})

test("random bytes behind a magic number are refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2048 }), fc.boolean(), (bytes, elf) => {
      const image = bytes.slice()
      if (elf) image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1].slice(0, image.length))
      else if (image.length > 0x206) {
        image.set([0x55, 0xaa], 0x1fe)
        image.set(new TextEncoder().encode("HdrS"), 0x202)
      }
      loadsOrRefuses(image)
    }),
    { numRuns: 2000 },
  )
})

test("parsing alone throws nothing else either", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => {
      for (const parse of [parseElf, parseBzImage]) {
        try {
          parse(bytes)
        } catch (error) {
          assert.instance(error, KernelInvalid)
        }
      }
    }),
  )
})

test("the initramfs goes as high as it may, at a page's start", () => {
  const image = new Uint8Array(5000).fill(9)
  const kernel = { end: 2 * MIB, initrdAddrMax: 0x7fff_ffff }
  const { memory, asked } = recordingMemory(fakeGuestMemory(32 * MIB))
  assert.equal(loadInitramfs(memory, image, kernel), { address: 32 * MIB - 8192, size: 5000 })
  assert.equal(asked, [{ address: 32 * MIB - 8192, length: 5000 }])
  assert.is(loadInitramfs(ram, image, { ...kernel, initrdAddrMax: 16 * MIB - 1 }).address, 16 * MIB - 8192)
})

test("an initramfs that is empty or does not fit is refused", () => {
  const kernel = { end: 31 * MIB, initrdAddrMax: 0x7fff_ffff }
  assert.throws(
    () => loadInitramfs(ram, new Uint8Array(0), kernel),
    (error: unknown) => error instanceof InitramfsInvalid && /empty/.test(error.message),
  )
  for (const size of [MIB + 1, 40 * MIB]) {
    assert.throws(
      () => loadInitramfs(ram, new Uint8Array(size), kernel),
      (error: unknown) => error instanceof InitramfsInvalid && /memoryMib/.test(error.message),
    )
  }
  assert.is(loadInitramfs(ram, new Uint8Array(MIB), kernel).address, 31 * MIB)
})

test.run()
