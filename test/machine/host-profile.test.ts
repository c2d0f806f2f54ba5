import { test } from "uvu"
import * as assert from "uvu/assert"
import { hostProfile } from "../../src/machine/host-profile.ts"
import { type CpuidEntry, encodeCpuid } from "../../src/machine/kvm/cpuid.ts"
import { featuresOf, lostFeatures, withFeatures } from "../../src/machine/kvm/cpuid-features.ts"
import type { NativeHostProbe } from "../../src/native.ts"
import { compare } from "../../src/snapshot/compatibility/compare.ts"
import { SnapshotIncompatible } from "../../src/snapshot/compatibility/incompatible.ts"
import { sampleHost, sampleNeeds, withoutBits } from "../support/compatibility.ts"

const AVX2 = 1 << 5

const entry = (leaf: number, index: number, registers: Partial<CpuidEntry>): CpuidEntry => ({
  function: leaf,
  index,
  flags: 0,
  eax: 0,
  ebx: 0,
  ecx: 0,
  edx: 0,
  ...registers,
})

const probe: NativeHostProbe = {
  apiVersion: 12,
  capabilities: { TSC_CONTROL: 1 },
  msrIndices: [0x10],
  supportedCpuid: encodeCpuid([entry(0, 0, { eax: 7 }), entry(7, 0, { ebx: 1 })]),
  kernelRelease: "6.8.0",
}
const reader = { version: "0.1.0", formatVersion: 1, components: {} }

test("what KVM shows a guest beyond what it supports is a feature of the host, too", () => {
  const shown = [entry(0, 0, { eax: 7 }), entry(7, 0, { ebx: AVX2 }), entry(7, 1, { eax: 1 << 4 })]
  const host = hostProfile(probe, { shownCpuid: encodeCpuid(shown), tscKhz: 2_500_000 }, reader)
  assert.is(host.tscKhz, 2_500_000)
  assert.is(host.tscScales, true)
  assert.equal(featuresOf(host.supportedCpuid ?? []), [
    { leaf: 7, subleaf: 0, register: "ebx", bits: AVX2 | 1 },
    { leaf: 7, subleaf: 1, register: "eax", bits: 1 << 4 },
  ])
})

test("without a vCPU, what only one tells is not known", () => {
  const host = hostProfile(probe, undefined, reader)
  assert.is(host.tscKhz, 0)
  assert.equal(featuresOf(host.supportedCpuid ?? []), [{ leaf: 7, subleaf: 0, register: "ebx", bits: 1 }])
})

test("features are added to entries without changing them", () => {
  const entries = [entry(1, 0, { ecx: 1 })]
  const added = withFeatures(entries, [{ leaf: 1, subleaf: 0, register: "ecx", bits: 0x8000_0000 }])
  assert.is(added[0]?.ecx, 0x8000_0001)
  assert.is(entries[0]?.ecx, 1)
})

test("what the guest itself turned on, and what is a number, is no feature", () => {
  const osxsave = 1 << 27
  const ospkeAndMawau = (1 << 4) | (0x1f << 17)
  assert.equal(featuresOf([entry(1, 0, { ecx: osxsave }), entry(7, 0, { ecx: ospkeAndMawau })]), [])
  assert.equal(featuresOf([entry(6, 0, { eax: 0xff }), entry(0xd, 0, { ebx: 0xa88 })]).length, 1)
})

test("every lost bit is named once, or placed", () => {
  const all = [entry(1, 0, { ecx: 0xffff_ffff, edx: 0xffff_ffff }), entry(7, 0, { ebx: 0xffff_ffff })]
  const lost = lostFeatures(featuresOf(all), [])
  assert.is(lost.length, 31 + 32 + 32)
  assert.is(new Set(lost.map(({ place }) => place)).size, lost.length)
  assert.is(
    lost.find(({ leaf, bit, register }) => leaf === 1 && register === "edx" && bit === 10)?.name,
    "CPUID.1.0:EDX[10]",
  )
})

test("the error has one line for all that is lost for the same reason", () => {
  const host = withoutBits({ ...sampleHost(), architecture: "aarch64" }, 7, 0, "ebx", AVX2 | (1 << 3))
  const { message, findings } = SnapshotIncompatible.of("/snapshots/a", compare(sampleNeeds(), host))
  assert.is(findings.length, 3)
  assert.equal(message.split("\n"), [
    "the snapshot /snapshots/a will not run on this host:",
    "architecture: expected x86_64, found aarch64; restore on an x86_64 host",
    "BMI1, AVX2: not supported by the host's KVM; restore on a host whose KVM supports it, or boot the guest anew where it is to run",
    "force restores it all the same",
  ])
})

test.run()
