import { test } from "uvu"
import * as assert from "uvu/assert"
import { bootRegs, bootSregs } from "../../src/machine/boot/boot-registers.ts"
import { writeBootStructures } from "../../src/machine/boot/boot-structures.ts"
import { CommandLineInvalid, makeCommandLine } from "../../src/machine/boot/command-line.ts"
import { e820Map } from "../../src/machine/boot/e820.ts"
import { codeSegment, dataSegment, descriptor, taskSegment } from "../../src/machine/boot/gdt.ts"
import { bootLapic } from "../../src/machine/boot/lapic.ts"
import { mpTableSize, writeMpTable } from "../../src/machine/boot/mp-table.ts"
import { writePageTables } from "../../src/machine/boot/page-tables.ts"
import { writePvhStartInfo } from "../../src/machine/boot/pvh.ts"
import { writeZeroPage } from "../../src/machine/boot/zero-page.ts"
import { MAX_VCPUS } from "../../src/machine/config.ts"
import { KvmSregs } from "../../src/machine/kvm/sregs.ts"
import * as Layout from "../../src/machine/layout.ts"
import { parseBzImage } from "../../src/machine/loader/bzimage.ts"
import { fakeGuestMemory, recordingMemory } from "../support/fake-memory.ts"
import { bzImage } from "../support/kernel-images.ts"

const MIB = 2 ** 20
const GIB = 2 ** 30

const viewAt = (memory: ReturnType<typeof fakeGuestMemory>, address: number, length: number): DataView => {
  const bytes = memory.bytes(address, length)!
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

// Layout

test("RAM is split around the gap", () => {
  assert.equal(Layout.memoryRegions(32 * MIB), [{ guestAddress: 0, size: 32 * MIB }])
  assert.equal(Layout.memoryRegions(3 * GIB), [{ guestAddress: 0, size: 3 * GIB }])
  assert.equal(Layout.memoryRegions(3 * GIB + MIB), [
    { guestAddress: 0, size: 3 * GIB },
    { guestAddress: 4 * GIB, size: MIB },
  ])
})

test("every virtio slot has a window in the gap and a line of its own that no PC device has", () => {
  const slots = Array.from({ length: Layout.MAX_VIRTIO_DEVICES }, (_, index) => Layout.virtioSlot(index))
  assert.is(new Set(slots.map((slot) => slot.gsi)).size, 18)
  for (const { address, size, gsi, index } of slots) {
    assert.is(address, 0xd0000000 + index * 0x1000)
    assert.ok(address >= Layout.MMIO_GAP_START && address + size <= Layout.IO_APIC_ADDRESS)
    assert.ok(gsi > 4 && gsi !== 8 && gsi < 24)
  }
  assert.is(slots[0]?.gsi, 5)
  assert.throws(() => Layout.virtioSlot(18))
  assert.throws(() => Layout.virtioSlot(-1))
})

// E820

for (const size of [32 * MIB, 128 * MIB, 3 * GIB - MIB, 3 * GIB, 3 * GIB + MIB, 8 * GIB, 1024 * GIB]) {
  test(`the memory map of ${size / MIB} MiB has all RAM once, but for the video hole`, () => {
    const map = e820Map(size)
    let end = 0
    for (const entry of map) {
      assert.ok(entry.address >= end && entry.size > 0)
      end = entry.address + entry.size
    }
    const total = map.reduce((sum, entry) => sum + entry.size, 0)
    assert.is(total, size - (Layout.HIGH_MEMORY_START - Layout.BASE_MEMORY_END))
    assert.ok(map.every((entry) => entry.address + entry.size <= 3 * GIB || entry.address >= 4 * GIB))
    assert.equal(map[1], { address: 0x9fc00, size: 0x400, type: 2 })
    assert.is(map.length, size > 3 * GIB ? 4 : 3)
  })
}

// Command line

const slots = [Layout.virtioSlot(0), Layout.virtioSlot(3)]

test("devices are appended as Linux reads them", () => {
  assert.is(
    makeCommandLine("console=ttyS0", "debug", slots),
    "console=ttyS0 debug virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0003000:9",
  )
  assert.is(makeCommandLine("", undefined, []), "")
  assert.is(makeCommandLine("", "x", []), "x")
})

test("what is meant for init stays behind the kernel's arguments", () => {
  assert.is(makeCommandLine("a -- sh", "-c x", slots.slice(0, 1)), "a virtio_mmio.device=4K@0xd0000000:5 -- sh -c x")
  assert.is(makeCommandLine("a --b", undefined, []), "a --b")
})

test("a line no kernel would read is refused", () => {
  for (const line of ["a\0b", "a\nb", "a\tb", "naïve", "\u{1f427}"]) {
    assert.throws(
      () => makeCommandLine(line, undefined, []),
      (error: unknown) => error instanceof CommandLineInvalid,
    )
  }
  assert.is(makeCommandLine("x".repeat(2047), undefined, []).length, 2047)
  assert.throws(() => makeCommandLine("x".repeat(2048), undefined, []))
  assert.throws(() => makeCommandLine("x".repeat(256), undefined, [], 255))
  assert.throws(() => makeCommandLine("x".repeat(2048), undefined, [], 4095), /2047/)
})

// Multiprocessor table

for (let vcpus = 1; vcpus <= MAX_VCPUS; vcpus++) {
  test(`the multiprocessor table of ${vcpus} vCPUs adds up`, () => {
    const { memory, asked } = recordingMemory(fakeGuestMemory(2 * MIB))
    writeMpTable(memory, vcpus)
    assert.equal(asked, [{ address: 0x9fc00, length: mpTableSize(vcpus) }])
    const bytes = memory.bytes(0x9fc00, mpTableSize(vcpus))!
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const text = (at: number, length: number) => new TextDecoder().decode(bytes.slice(at, at + length))
    const sum = (start: number, length: number) =>
      bytes.slice(start, start + length).reduce((total, byte) => (total + byte) & 0xff, 0)
    assert.is(text(0, 4), "_MP_")
    assert.is(sum(0, 16), 0)
    const table = view.getUint32(4, true) - 0x9fc00
    assert.is(text(table, 4), "PCMP")
    const length = view.getUint16(table + 4, true)
    assert.is(table + length, mpTableSize(vcpus))
    assert.is(sum(table, length), 0)
    assert.is(view.getUint32(table + 36, true), 0xfee00000)

    const counts = [0, 0, 0, 0, 0]
    const apicIds: number[] = []
    const pins: number[] = []
    let at = table + 44
    for (let entry = 0; entry < view.getUint16(table + 34, true); entry++) {
      const type = bytes[at]!
      counts[type]!++
      if (type === 0) {
        apicIds.push(bytes[at + 1]!)
        assert.is(bytes[at + 3], bytes[at + 1] === 0 ? 3 : 1)
      }
      if (type === 2) apicIds.push(bytes[at + 1]!)
      if (type === 3) {
        pins.push(bytes[at + 7]!)
        assert.equal([bytes[at + 1], bytes[at + 5], bytes[at + 6]], [0, bytes[at + 7], vcpus])
      }
      at += type === 0 ? 20 : 8
    }
    assert.is(at, table + length)
    assert.equal(counts, [vcpus, 1, 1, 24, 2])
    assert.is(new Set(apicIds).size, vcpus + 1)
    assert.equal(
      pins,
      Array.from({ length: 24 }, (_, pin) => pin),
    )
  })
}

// Zero page (offsets: asm/bootparam.h)

test("the zero page of an ELF kernel has what the kernel reads", () => {
  const memory = fakeGuestMemory(64 * MIB)
  writeZeroPage(memory, {
    setupHeader: undefined,
    commandLineLength: 77,
    initramfs: { address: 0x3f0_0000, size: 1234 },
    memoryMap: e820Map(64 * MIB),
  })
  const page = viewAt(memory, 0x7000, 4096)
  assert.is(page.getUint16(0x1fe, true), 0xaa55)
  assert.is(page.getUint32(0x202, true), 0x53726448)
  assert.is(page.getUint8(0x210), 0xff)
  assert.is(page.getUint8(0x211), 1)
  assert.is(page.getUint32(0x218, true), 0x3f0_0000)
  assert.is(page.getUint32(0x21c, true), 1234)
  assert.is(page.getUint32(0x228, true), 0x20000)
  assert.is(page.getUint32(0x238, true), 77)
  assert.is(page.getUint8(0x1ef), 0, "the sentinel")
  assert.is(page.getUint8(0x1e8), 3)
  const entry = 0x2d0 + 2 * 20
  assert.is(page.getBigUint64(entry, true), 0x100000n)
  assert.is(page.getBigUint64(entry + 8, true), 63n * BigInt(MIB))
  assert.is(page.getUint32(entry + 16, true), 1)
})

test("a bzImage's setup header is taken over, and nothing behind it", () => {
  const memory = fakeGuestMemory(8 * MIB)
  const image = bzImage({ prefAddress: 0x12_0000, cmdlineSize: 999 })
  image.fill(0xee, 0x26c, 0x400)
  const { setupHeader } = parseBzImage(image)
  writeZeroPage(memory, { setupHeader, commandLineLength: 3, initramfs: undefined, memoryMap: [] })
  const page = viewAt(memory, 0x7000, 4096)
  assert.is(page.getBigUint64(0x258, true), 0x12_0000n)
  assert.is(page.getUint32(0x238, true), 999)
  assert.is(page.getUint16(0x206, true), 0x20f)
  assert.is(page.getUint8(0x26b), 0)
  assert.is(page.getUint8(0x26c), 0)
  assert.is(page.getUint32(0x218, true), 0)
})

// PVH

test("the PVH start info points to command line, initramfs and memory map", () => {
  const memory = fakeGuestMemory(8 * MIB)
  const memoryMap = e820Map(8 * MIB)
  writePvhStartInfo(memory, { initramfs: { address: 0x70_0000, size: 99 }, memoryMap })
  const info = viewAt(memory, 0x6000, 56)
  assert.is(info.getUint32(0, true), 0x336ec578)
  assert.equal(
    [4, 8, 12].map((at) => info.getUint32(at, true)),
    [1, 0, 1],
  )
  assert.is(info.getBigUint64(24, true), 0x20000n)
  const module = viewAt(memory, Number(info.getBigUint64(16, true)), 32)
  assert.equal([module.getBigUint64(0, true), module.getBigUint64(8, true)], [0x70_0000n, 99n])
  const map = viewAt(memory, Number(info.getBigUint64(40, true)), 24 * memoryMap.length)
  assert.is(info.getUint32(48, true), memoryMap.length)
  memoryMap.forEach((entry, index) => {
    assert.is(Number(map.getBigUint64(index * 24, true)), entry.address)
    assert.is(Number(map.getBigUint64(index * 24 + 8, true)), entry.size)
    assert.is(map.getUint32(index * 24 + 16, true), entry.type)
  })
})

test("without an initramfs there is no module", () => {
  const memory = fakeGuestMemory(8 * MIB)
  writePvhStartInfo(memory, { initramfs: undefined, memoryMap: e820Map(8 * MIB) })
  assert.is(viewAt(memory, 0x6000, 56).getUint32(12, true), 0)
  assert.is(viewAt(memory, 0x6000, 56).getBigUint64(16, true), 0n)
})

// Page tables, segments, registers

test("the page tables map the first GiB to itself", () => {
  const memory = fakeGuestMemory(8 * MIB)
  writePageTables(memory)
  const entry = (address: number) => viewAt(memory, address, 8).getBigUint64(0, true)
  assert.is(entry(0x9000), 0xa003n)
  assert.is(entry(0xa000), 0xb003n)
  for (const index of [0, 1, 511]) assert.is(entry(0xb000 + index * 8), BigInt(index * 0x200000 + 0x83))
  assert.is(entry(0x9008), 0n)
  assert.is(entry(0xa008), 0n)
})

test("segment descriptors have the bits of the manual", () => {
  assert.is(descriptor(codeSegment(64)), 0x00af_9b00_0000_ffffn)
  assert.is(descriptor(codeSegment(32)), 0x00cf_9b00_0000_ffffn)
  assert.is(descriptor(dataSegment), 0x00cf_9300_0000_ffffn)
  assert.is(descriptor(taskSegment), 0x0000_8b00_0000_0067n)
  assert.is(descriptor({ ...dataSegment, base: 0x1234_5678n }), 0x12cf_9334_5678_ffffn)
})

const fresh = { ...KvmSregs.decode(new Uint8Array(312)), cr0: 0x6000_0010n, apicBase: 0xfee0_0900n }

test("the 64-bit protocol is entered in long mode with RSI at the zero page", () => {
  const sregs = bootSregs("linux64", fresh)
  assert.equal([sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer], [0x8000_0031n, 0x9000n, 0x20n, 0x500n])
  assert.equal([sregs.cs.selector, sregs.cs.l, sregs.cs.db, sregs.ds.selector], [0x10, 1, 0, 0x18])
  assert.is(sregs.apicBase, fresh.apicBase)
  const regs = bootRegs("linux64", 0x100_0000)
  assert.equal([regs.rip, regs.rsi, regs.rflags], [0x100_0000n, 0x7000n, 2n])
})

test("PVH is entered in protected mode without paging, with EBX at the start info", () => {
  const sregs = bootSregs("pvh", { ...fresh, cr4: 0x20n, efer: 0x500n })
  assert.equal([sregs.cr0, sregs.cr4, sregs.efer], [0x11n, 0n, 0n])
  assert.equal([sregs.cs.base, sregs.cs.limit, sregs.cs.db, sregs.cs.l], [0n, 0xffff_ffff, 1, 0])
  assert.equal([sregs.tr.base, sregs.tr.limit], [0n, 0x67])
  const regs = bootRegs("pvh", 0x100_0010)
  assert.equal([regs.rip, regs.rbx, regs.rsi, regs.rflags], [0x100_0010n, 0x6000n, 0n, 2n])
})

test("the local APIC's pins get their delivery modes, and nothing else changes", () => {
  const page = new Uint8Array(1024)
  const view = new DataView(page.buffer)
  view.setUint32(0x350, 0x1_0000, true)
  view.setUint32(0x360, 0x1_0700, true)
  const after = new DataView(bootLapic(page).buffer)
  assert.is(after.getUint32(0x350, true), 0x1_0700)
  assert.is(after.getUint32(0x360, true), 0x1_0400)
  assert.is(view.getUint32(0x350, true), 0x1_0000, "the page that was given stays")
})

test("no two boot structures overlap, for either protocol", () => {
  for (const protocol of ["linux64", "pvh"] as const) {
    const { memory, asked } = recordingMemory(fakeGuestMemory(32 * MIB))
    writeBootStructures(memory, {
      kernel: {
        format: "elf",
        protocol,
        entry: 0x100_0000,
        end: 0x200_0000,
        setupHeader: undefined,
        initrdAddrMax: 0x7fff_ffff,
        cmdlineSize: 2047,
      },
      initramfs: { address: 0x1f0_0000, size: 5000 },
      commandLine: "x".repeat(2047),
      vcpuCount: 8,
    })
    const ranges = [...asked].sort((a, b) => a.address - b.address)
    ranges.forEach(({ address, length }, index) => {
      assert.ok(address + length <= (ranges[index + 1]?.address ?? Layout.BASE_MEMORY_END))
    })
    assert.is(memory.bytes(0x20000 + 2047, 1)?.[0], 0)
  }
})

test.run()
