import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import type { HostProfile } from "../../src/machine/host-profile.ts"
import { featuresOf } from "../../src/machine/kvm/cpuid-features.ts"
import { compare } from "../../src/snapshot/compatibility/compare.ts"
import type { Verdict } from "../../src/snapshot/compatibility/finding.ts"
import type { SnapshotNeeds } from "../../src/snapshot/compatibility/needs.ts"
import { sampleHost, sampleNeeds, withoutBits } from "../support/compatibility.ts"

const base = sampleHost()
const REGISTERS = ["eax", "ebx", "ecx", "edx"] as const
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })

/** Hosts with random features, registers and capabilities. */
const anyHost: fc.Arbitrary<HostProfile> = fc
  .record({
    words: fc.array(fc.tuple(u32, u32, u32, u32), {
      minLength: base.supportedCpuid?.length ?? 0,
      maxLength: base.supportedCpuid?.length ?? 0,
    }),
    msrIndices: fc.uniqueArray(u32, { maxLength: 30 }),
    capabilities: fc.dictionary(fc.constantFrom(...Object.keys(base.capabilities)), fc.nat({ max: 8192 })),
    tscKhz: fc.constantFrom(0, 2_000_000, 2_500_000),
    tscScales: fc.constantFrom(true, false, null),
    kvmKind: fc.constantFrom("vmx" as const, "svm" as const, "other" as const, null),
  })
  .map(({ words, ...others }) => ({
    ...base,
    ...others,
    supportedCpuid: (base.supportedCpuid ?? []).map((entry, index) => {
      // Leaf 0 is the vendor, and 0x40000000 KVM's signature.
      if (entry.function === 0 || entry.function === 0x4000_0000) return entry
      const [eax = 0, ebx = 0, ecx = 0, edx = 0] = words[index] ?? []
      return { ...entry, eax, ebx, ecx, edx }
    }),
  }))

/** What a guest that was shown all of a host needs. */
const needsOn = (host: HostProfile): SnapshotNeeds => {
  const sample = sampleNeeds()
  const { kernelRelease, kvmKind, kvmModules, capabilities } = host
  return {
    ...sample,
    vcpu: sample.vcpu && {
      ...sample.vcpu,
      features: featuresOf(host.supportedCpuid ?? []),
      msrs: host.msrIndices ?? [],
      tscKhz: host.tscKhz,
    },
    host: { kernelRelease, kvmKind, kvmModules, capabilities },
  }
}

/** With what nothing runs without. */
const able = (host: HostProfile): HostProfile => ({
  ...host,
  capabilities: { ...host.capabilities, ...base.capabilities },
})

const rank: Readonly<Record<Verdict, number>> = { runs: 0, "runs-with-care": 1, "will-not-run": 2 }

test("a host equal to the writer's always runs it", () => {
  fc.assert(
    fc.property(anyHost, (host) => {
      assert.is(compare(needsOn(able(host)), able(host)).verdict, "runs")
    }),
  )
})

const OURS = ["1:ECX[31]", "1:EDX[28]", `${0x8000_0001}:ECX[1]`]

test("any one feature less that the guest was shown blocks, and is named", () => {
  fc.assert(
    fc.property(anyHost, fc.nat(), fc.nat(), (random, wordAt, bitAt) => {
      const host = able({ ...random, capabilities: { ...random.capabilities, TSC_DEADLINE_TIMER: 0 } })
      const words = featuresOf(host.supportedCpuid ?? [])
      const word = words[wordAt % words.length]
      fc.pre(word !== undefined)
      const bits = Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => ((word.bits >>> bit) & 1) === 1)
      const bit = bits[bitAt % bits.length] as number
      const needs = needsOn(host)
      const less = withoutBits(
        { ...host, capabilities: { ...host.capabilities, TSC_DEADLINE_TIMER: 0 } },
        word.leaf,
        word.subleaf,
        word.register,
        2 ** bit,
      )
      const { verdict, findings: all } = compare(needs, less)
      const findings = all.filter(({ severity }) => severity !== "info")
      const place = `${word.register.toUpperCase()}[${bit}]`
      // These three are cryovm's to show, on any host.
      if (OURS.includes(`${word.leaf}:${place}`)) return assert.is(verdict, "runs")
      assert.is(findings.length, 1, JSON.stringify(findings))
      const [finding] = findings
      assert.ok(finding?.expected.includes(place) && finding.subject !== "", JSON.stringify(finding))
      if (finding?.code === "cpu-promise-lost") assert.is(verdict, "runs-with-care")
      else {
        assert.is(finding?.code, "cpu-feature-lost")
        assert.is(verdict, "will-not-run")
      }
    }),
    { numRuns: 1000 },
  )
})

test("features, registers and capabilities more never make it worse", () => {
  fc.assert(
    fc.property(anyHost, anyHost, anyHost, (writer, host, more) => {
      const better: HostProfile = {
        ...host,
        supportedCpuid: (host.supportedCpuid ?? []).map((entry, index) => {
          const added = more.supportedCpuid?.[index] ?? entry
          const united = REGISTERS.map((register) => [register, (entry[register] | added[register]) >>> 0])
          return { ...entry, ...Object.fromEntries(united) }
        }),
        msrIndices: [...new Set([...(host.msrIndices ?? []), ...(more.msrIndices ?? [])])],
        capabilities: {
          ...more.capabilities,
          ...Object.fromEntries(
            Object.entries(host.capabilities).map(([name, value]) => [
              name,
              Math.max(value, more.capabilities[name] ?? 0),
            ]),
          ),
          // Not being told of a limit is no limit.
          MAX_VCPUS: 0,
          NR_VCPUS: 0,
        },
        tscScales: true,
      }
      const before = compare(needsOn(writer), host)
      const after = compare(needsOn(writer), better)
      assert.ok(rank[after.verdict] <= rank[before.verdict])
      assert.ok(after.findings.length <= before.findings.length)
    }),
  )
})

test.run()
