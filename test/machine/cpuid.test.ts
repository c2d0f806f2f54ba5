import { test } from "uvu"
import * as assert from "uvu/assert"
import { guestCpuid } from "../../src/machine/boot/cpuid.ts"
import type { CpuidEntry } from "../../src/machine/kvm/cpuid.ts"

const entry = (leaf: number, index: number, values: Partial<CpuidEntry>): CpuidEntry => ({
  function: leaf,
  index,
  flags: 1,
  eax: 0,
  ebx: 0,
  ecx: 0,
  edx: 0,
  ...values,
})

const intel = entry(0, 0, { eax: 0x1f, ebx: 0x756e6547, ecx: 0x6c65746e, edx: 0x49656e69 })
const amd = entry(0, 0, { eax: 0x10, ebx: 0x68747541, ecx: 0x444d4163, edx: 0x69746e65 })

const host: readonly CpuidEntry[] = [
  entry(1, 0, { eax: 0x806f8, ebx: 0x1764_0800, ecx: 0x0000_0001, edx: 0x178b_fbff }),
  // L1 data, L2 and L3 of a package with 64 addressable cores.
  entry(4, 0, { eax: 0xfc00_4121, ebx: 0x02c0_003f, ecx: 0x3f }),
  entry(4, 1, { eax: 0xfc00_4143, ebx: 0x03c0_003f, ecx: 0x7ff }),
  entry(4, 2, { eax: 0xfc1f_c163, ebx: 0x0380_003f, ecx: 0x1ffff }),
  entry(4, 3, { eax: 0 }),
  entry(7, 0, { ebx: 0xf1bf_07ab, ecx: 0x1a40_5f66, edx: 0xffda_4432 }),
  entry(0xb, 0, { eax: 1, ebx: 2, ecx: 0x100, edx: 23 }),
  entry(0xb, 1, { eax: 7, ebx: 96, ecx: 0x201, edx: 23 }),
  entry(0x1f, 0, { eax: 1, ebx: 2, ecx: 0x100, edx: 23 }),
  entry(0x8000_0001, 0, { ecx: 0x121, edx: 0x2c10_0800 }),
  entry(0x8000_0008, 0, { eax: 0x3930, ecx: 0x703f }),
]

const find = (entries: readonly CpuidEntry[], leaf: number, index = 0): CpuidEntry => {
  const found = entries.find((candidate) => candidate.function === leaf && candidate.index === index)
  assert.ok(found, `leaf ${leaf.toString(16)}.${index}`)
  return found as CpuidEntry
}

const options = { tscDeadlineTimer: true }
/** Bits of the ids that number `count` processors. */
const widths = new Map([
  [1, 0],
  [2, 1],
  [3, 2],
  [4, 2],
  [5, 3],
  [8, 3],
])

for (const [count, width] of widths) {
  test(`${count} vCPUs are as many cores of one package`, () => {
    for (let vcpu = 0; vcpu < count; vcpu++) {
      const guest = guestCpuid([intel, ...host], vcpu, count, options)
      const leaf1 = find(guest, 1)
      assert.is(leaf1.ebx >>> 24, vcpu, "initial APIC id")
      assert.is((leaf1.ebx >>> 16) & 0xff, 1 << width, "addressable ids")
      assert.is(leaf1.ebx & 0xffff, 0x0800, "cache line and brand stay")
      assert.is((leaf1.edx >>> 28) & 1, count > 1 ? 1 : 0, "HTT")
      for (const leaf of [0xb, 0x1f]) {
        const levels = guest.filter((candidate) => candidate.function === leaf)
        assert.equal(
          levels.map(({ index, eax, ebx, ecx, edx, flags }) => [index, eax, ebx, ecx, edx, flags]),
          [
            [0, 0, 1, 0x100, vcpu, 1],
            [1, width, count, 0x201, vcpu, 1],
            [2, 0, 0, 2, vcpu, 1],
          ],
        )
      }
      const caches = [0, 1, 2].map((index) => find(guest, 4, index).eax)
      assert.equal(
        caches.map((eax) => (eax >>> 14) & 0xfff),
        [0, 0, (1 << width) - 1],
        "L3 alone is shared",
      )
      for (const eax of caches) assert.is(eax >>> 26, (1 << width) - 1, "core ids")
      assert.equal(
        caches.map((eax) => eax & 0x3fff),
        [0x121, 0x143, 0x163],
      )
    }
  })
}

test("the hypervisor bit is set, the TSC deadline bit as KVM can", () => {
  const ecx = (tscDeadlineTimer: boolean) => find(guestCpuid([intel, ...host], 0, 1, { tscDeadlineTimer }), 1).ecx
  assert.is(ecx(true), 0x8100_0001)
  assert.is(ecx(false), 0x8000_0001)
})

test("features are the host's", () => {
  const guest = guestCpuid([intel, ...host], 1, 2, options)
  for (const leaf of [0, 7, 0x8000_0001, 0x8000_0008]) {
    assert.equal(find(guest, leaf), find([intel, ...host], leaf))
  }
})

test("AMD's own topology leaves are the guest's", () => {
  const extended = [
    entry(0x8000_001d, 0, { eax: 0x4121 }),
    entry(0x8000_001d, 3, { eax: 0x3c163 }),
    entry(0x8000_001e, 0, { eax: 23, ebx: 0x10b, ecx: 0x702 }),
    entry(0x8000_0026, 0, { eax: 1, ebx: 2, ecx: 0x100, edx: 23 }),
  ]
  const guest = guestCpuid([amd, ...host, ...extended], 2, 4, options)
  assert.is(find(guest, 0x8000_0008).ecx, 0x2003)
  assert.is(find(guest, 0x8000_0001).ecx & 2, 2)
  assert.is(find(guest, 0x8000_001d, 0).eax, 0x121)
  assert.is(find(guest, 0x8000_001d, 3).eax, 0xc163)
  const { eax, ebx, ecx } = find(guest, 0x8000_001e)
  assert.equal([eax, ebx, ecx], [2, 2, 0])
  assert.not.ok(guest.some((candidate) => candidate.function === 0x8000_0026))
  assert.is(find(guestCpuid([amd, ...host], 0, 1, options), 0x8000_0001).ecx & 2, 0)
})

test("no entry is there twice, and every value has 32 bits", () => {
  const guest = guestCpuid([intel, ...host], 7, 8, options)
  assert.is(new Set(guest.map((candidate) => `${candidate.function}.${candidate.index}`)).size, guest.length)
  for (const { eax, ebx, ecx, edx } of guest) {
    for (const value of [eax, ebx, ecx, edx]) assert.ok(value >= 0 && value <= 0xffff_ffff)
  }
})

test.run()
