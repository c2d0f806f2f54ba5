/** Altered hosts, snapshots and files, each with what is to be found. */
import { test } from "uvu"
import * as assert from "uvu/assert"
import type { HostProfile } from "../../src/machine/host-profile.ts"
import { SnapshotInconsistent } from "../../src/snapshot/bundle/bundle.ts"
import { ChainTooLarge, ParentMismatch, ParentMissing, ParentUnreadable } from "../../src/snapshot/chain/errors.ts"
import { compare } from "../../src/snapshot/compatibility/compare.ts"
import type { MemoryFileFact, SnapshotFacts } from "../../src/snapshot/compatibility/facts.ts"
import type { FindingCode, Severity, Verdict } from "../../src/snapshot/compatibility/finding.ts"
import type { SnapshotNeeds, VcpuNeeds } from "../../src/snapshot/compatibility/needs.ts"
import type { FileFact } from "../../src/snapshot/restore/file-fact.ts"
import type { ResolvedResource, ResourceProblem } from "../../src/snapshot/restore/resources.ts"
import { sampleHost, sampleNeeds, withCapability, withoutBits } from "../support/compatibility.ts"

interface Case {
  readonly host?: Partial<HostProfile>
  readonly needs?: Partial<SnapshotNeeds>
  readonly vcpu?: Partial<VcpuNeeds>
  readonly facts?: Partial<SnapshotFacts>
  readonly verdict: Verdict
  /** Severity, code and subject of each finding, in order. */
  readonly findings: readonly (readonly [Severity, FindingCode, string])[]
}

const host = sampleHost()
const needs = sampleNeeds()
const cpu = (change: Partial<HostProfile["cpu"]>) => ({ cpu: { ...host.cpu, ...change } })
const reader = (components: Readonly<Record<string, number>>, change: object = {}): Partial<HostProfile> => ({
  cryovm: { version: "0.2.0", formatVersion: 1, components: { ...host.cryovm?.components, ...components }, ...change },
})
const blocked = (code: FindingCode, subject: string): Pick<Case, "verdict" | "findings"> => ({
  verdict: "will-not-run",
  findings: [["blocker", code, subject]],
})
const careful = (code: FindingCode, subject: string): Pick<Case, "verdict" | "findings"> => ({
  verdict: "runs-with-care",
  findings: [["care", code, subject]],
})
const told = (code: FindingCode, subject: string): Pick<Case, "verdict" | "findings"> => ({
  verdict: "runs",
  findings: [["info", code, subject]],
})
const fine: Pick<Case, "verdict" | "findings"> = { verdict: "runs", findings: [] }

const modified = "2026-01-31T12:00:00.000Z"
const disk = { name: "disk0", kind: "block", path: "/disks/a", size: 4096, modified }
const diskFact = (file: FileFact, change: Partial<ResolvedResource> = {}): Partial<SnapshotFacts> => {
  const absent: ResourceProblem = { name: "disk0", field: "path", message: "disk /disks/a: it is not there" }
  const resources = [{ ...disk, isOverridden: false, file, ...change }]
  return { resources: { resources, problems: file === "missing" ? [absent] : [] } }
}
const refused = (name: string, field: ResourceProblem["field"]): Partial<SnapshotFacts> => ({
  resources: { resources: [{ ...disk, isOverridden: false }], problems: [{ name, field, message: "of no use" }] },
})
const optional = { name: "extra0", kind: "extra", version: 1, optional: true }
const parent = { id: "5b0f3a52-8f3b-4c8e-9d46-0d9a3f0c2b11", digest: "0".repeat(64) }
const parentFile = (size: number | "missing"): MemoryFileFact => ({
  name: "/snapshots/base/memory.img",
  expectedBytes: 2 ** 20,
  found: size === "missing" ? size : { size, modified },
})
const parentMissing = new ParentMissing({
  message: "",
  dir: "/snapshots/a",
  parentId: parent.id,
  parentDigest: parent.digest,
  lookedAt: ["/snapshots (a folder with 1 snapshots)"],
})

const cases: Readonly<Record<string, Case>> = {
  "the host it came from": fine,
  "another architecture": { host: { architecture: "aarch64" }, ...blocked("architecture", "architecture") },
  "a processor of another vendor": {
    host: cpu({ vendor: "AuthenticAMD" }),
    ...blocked("cpu-vendor", "processor vendor"),
  },
  "another family": { host: cpu({ family: 25 }), ...careful("cpu-model", "processor model") },
  "another model": { host: cpu({ model: 106 }), ...careful("cpu-model", "processor model") },
  "another stepping": { host: cpu({ stepping: 6 }), ...careful("cpu-model", "processor model") },
  "another brand": { host: cpu({ brand: "another CPU" }), ...fine },
  "no AVX2": { host: withoutBits(host, 7, 0, "ebx", 1 << 5), ...blocked("cpu-feature-lost", "AVX2") },
  "no AES": { host: withoutBits(host, 1, 0, "ecx", 1 << 25), ...blocked("cpu-feature-lost", "AES") },
  "no AVX512_VNNI": { host: withoutBits(host, 7, 0, "ecx", 1 << 11), ...blocked("cpu-feature-lost", "AVX512_VNNI") },
  "no SPEC_CTRL": { host: withoutBits(host, 7, 0, "edx", 1 << 26), ...blocked("cpu-feature-lost", "SPEC_CTRL") },
  "no AVX512_BF16, of leaf 7.1": {
    host: withoutBits(host, 7, 1, "eax", 1 << 5),
    ...blocked("cpu-feature-lost", "AVX512_BF16"),
  },
  "no XSAVES, of leaf 0xD.1": {
    host: withoutBits(host, 0xd, 1, "eax", 1 << 3),
    ...blocked("cpu-feature-lost", "XSAVES"),
  },
  "no PKRU in XCR0": { host: withoutBits(host, 0xd, 0, "eax", 1 << 9), ...blocked("cpu-feature-lost", "XCR0_PKRU") },
  "no RDTSCP, of leaf 0x80000001": {
    host: withoutBits(host, 0x8000_0001, 0, "edx", 1 << 27),
    ...blocked("cpu-feature-lost", "RDTSCP"),
  },
  "no invariant TSC": {
    host: withoutBits(host, 0x8000_0007, 0, "edx", 1 << 8),
    ...blocked("cpu-feature-lost", "INVARIANT_TSC"),
  },
  "no IBRS, of leaf 0x80000008": {
    host: withoutBits(host, 0x8000_0008, 0, "ebx", 1 << 14),
    ...blocked("cpu-feature-lost", "IBRS"),
  },
  "no steal time of KVM": {
    host: withoutBits(host, 0x4000_0001, 0, "eax", 1 << 5),
    ...blocked("cpu-feature-lost", "KVM_STEAL_TIME"),
  },
  "a bit without a name": {
    vcpu: { features: [...(needs.vcpu?.features ?? []), { leaf: 7, subleaf: 1, register: "ecx", bits: 1 << 9 }] },
    ...blocked("cpu-feature-lost", "CPUID.7.1:ECX[9]"),
  },
  "a promise less": {
    vcpu: { features: [{ leaf: 7, subleaf: 0, register: "edx", bits: 1 << 11 }] },
    ...careful("cpu-promise-lost", "RTM_ALWAYS_ABORT"),
  },
  "what cryovm itself shows": {
    vcpu: { features: [{ leaf: 1, subleaf: 0, register: "edx", bits: 1 << 28 }] },
    ...fine,
  },
  "the deadline timer as a capability": {
    host: withoutBits(host, 1, 0, "ecx", 1 << 24),
    ...fine,
  },
  "no deadline timer at all": {
    host: withCapability(withoutBits(host, 1, 0, "ecx", 1 << 24), "TSC_DEADLINE_TIMER", 0),
    ...blocked("cpu-feature-lost", "TSC_DEADLINE"),
  },
  "a host of which no features are known": {
    host: { supportedCpuid: null },
    ...careful("cpu-features-unknown", "processor features"),
  },
  "a larger XSAVE area": { vcpu: { xsaveBytes: 11_008 }, ...blocked("xsave-size", "XSAVE area") },
  "a larger XSAVE area, and room for it": {
    vcpu: { xsaveBytes: 11_008 },
    host: withCapability(host, "XSAVE2", 11_008),
    ...fine,
  },
  "a host without IA32_PAT": {
    host: { msrIndices: (host.msrIndices ?? []).filter((index) => index !== 0x277) },
    ...blocked("msr-not-settable", "IA32_PAT (0x277)"),
  },
  "a register without a name": { vcpu: { msrs: [0x777] }, ...blocked("msr-not-settable", "MSR 0x777") },
  "a host of which no registers are known": {
    host: { msrIndices: null },
    ...careful("msrs-unknown", "model-specific registers"),
  },
  "another KVM API": { host: { kvmApiVersion: 13 }, ...blocked("kvm-api", "KVM API") },
  "no interrupt controller in the kernel": {
    host: withCapability(host, "IRQCHIP", 0),
    ...blocked("kvm-capability-missing", "KVM_CAP_IRQCHIP"),
  },
  "a profile that does not tell of ioeventfds": {
    host: withCapability(host, "IOEVENTFD", undefined),
    ...blocked("kvm-capability-missing", "KVM_CAP_IOEVENTFD"),
  },
  "no XCRS": { host: withCapability(host, "XCRS", 0), ...blocked("kvm-capability-missing", "KVM_CAP_XCRS") },
  "a guest of the guest, and no nested state": {
    vcpu: { nested: true },
    host: withCapability(host, "NESTED_STATE", 0),
    ...blocked("kvm-capability-missing", "KVM_CAP_NESTED_STATE"),
  },
  "no nested state, and no guest of the guest": { host: withCapability(host, "NESTED_STATE", 0), ...fine },
  "no KVMCLOCK_CTRL": {
    host: withCapability(host, "KVMCLOCK_CTRL", 0),
    ...careful("kvm-capability-lost", "KVM_CAP_KVMCLOCK_CTRL"),
  },
  "more vCPUs than there can be": { needs: { vcpuCount: 1025 }, ...blocked("vcpu-count", "vCPUs") },
  "more vCPUs than processors": { needs: { vcpuCount: 17 }, ...careful("vcpu-count", "vCPUs") },
  "a TSC within what NTP trims": { host: { tscKhz: 2_500_500, tscScales: false }, ...fine },
  "a faster TSC, scaled": { host: { tscKhz: 3_000_000 }, ...told("tsc-scaled", "TSC") },
  "a faster TSC": { host: { tscKhz: 2_501_000, tscScales: false }, ...blocked("tsc-frequency", "TSC") },
  "a slower TSC, of which scaling is not known": {
    host: { tscKhz: 2_000_000, tscScales: null },
    ...blocked("tsc-frequency", "TSC"),
  },
  "a TSC that is not known": { host: { tscKhz: 0 }, ...told("tsc-unknown", "TSC") },
  "a TSC that was not recorded": { vcpu: { tscKhz: 0 }, ...told("tsc-unknown", "TSC") },
  "AMD-V": { host: { kvmKind: "svm", kvmModules: ["kvm", "kvm_amd"] }, ...careful("kvm-kind", "kind of KVM") },
  "a KVM without either": {
    host: { kvmKind: "other", kvmModules: ["kvm", "kvm_pvm"] },
    ...careful("kvm-kind", "kind of KVM"),
  },
  "a KVM that is not known": { host: { kvmKind: null }, ...fine },
  "an older kernel": { host: { kernelRelease: "6.1.0-18-amd64" }, ...careful("host-kernel-older", "host kernel") },
  "a newer kernel": { host: { kernelRelease: "6.10.2" }, ...fine },
  "a device that is not known there": {
    needs: { components: [...needs.components, { ...optional, optional: false }] },
    ...blocked("component-unknown", "extra0"),
  },
  "an optional section that is not known there": {
    needs: { components: [...needs.components, optional] },
    ...told("component-ignored", "extra0"),
  },
  "a device of a newer version": { host: reader({ "virtio-rng": 0 }), ...blocked("component-too-new", "rng0") },
  "a manifest of a newer version": { host: reader({ manifest: 1 }), ...blocked("component-too-new", "manifest") },
  "a newer format": { needs: { formatVersion: 2 }, ...blocked("format-too-new", "state.cryo") },
  "a newer producer": {
    needs: { producer: { name: "cryovm", version: "0.10.0" } },
    ...told("producer-newer", "cryovm"),
  },
  "a cryovm that is not known": { host: { cryovm: null }, ...told("reader-unknown", "cryovm") },
  "vCPUs that could not be read": { needs: { vcpu: null }, ...careful("vcpu-state-unknown", "vCPUs") },
  "more memory than there is": { needs: { memoryBytes: 2 ** 36 }, ...blocked("memory-too-small", "memory") },
  "more memory than is available": { needs: { memoryBytes: 2 ** 34 + 4096 }, ...careful("memory-scarce", "memory") },
  "memory that is not known": { host: { memoryBytes: null, availableMemoryBytes: null }, ...fine },
  "no memory file": { facts: { memoryFile: "missing" }, ...blocked("memory-file", "memory.img") },
  "a short memory file": { facts: { memoryFile: { size: 4096, modified } }, ...blocked("memory-file", "memory.img") },
  "a disk as it was": { needs: { resources: [disk] }, facts: diskFact({ size: 4096, modified }), ...fine },
  "a disk that is not there": {
    needs: { resources: [disk] },
    facts: diskFact("missing"),
    ...blocked("resource-missing", "disk0"),
  },
  "a disk that has grown": {
    needs: { resources: [disk] },
    facts: diskFact({ size: 8192, modified }),
    ...careful("resource-changed", "disk0"),
  },
  "a disk that was written to": {
    needs: { resources: [disk] },
    facts: diskFact({ size: 4096, modified: "2026-02-01T12:00:00.000Z" }),
    ...careful("resource-changed", "disk0"),
  },
  "a disk that was copied to another place": {
    needs: { resources: [disk] },
    facts: diskFact({ size: 4096, modified: "2026-02-01T12:00:00.000Z" }, { path: "/disks/b", isOverridden: true }),
    ...fine,
  },
  "a larger disk in another place": {
    needs: { resources: [disk] },
    facts: diskFact({ size: 8192, modified }, { path: "/disks/b", isOverridden: true }),
    ...careful("resource-changed", "disk0"),
  },
  "a disk that may not be read": {
    needs: { resources: [disk] },
    facts: refused("disk0", "path"),
    ...blocked("resource-refused", "disk0"),
  },
  "a place for a disk that there is not": {
    needs: { resources: [disk] },
    facts: refused("disk1", "name"),
    ...blocked("resource-refused", "disk1"),
  },
  "a disk, of which only the path is known": {
    needs: { resources: [{ ...disk, size: null, modified: null }] },
    facts: {
      resources: {
        resources: [
          { name: "disk0", kind: "disk", path: "/disks/a", isOverridden: false, file: { size: 1, modified } },
        ],
        problems: [],
      },
    },
    ...fine,
  },
  "a disk, asked from elsewhere": { needs: { resources: [disk] }, ...told("resource-unchecked", "disk0") },
  "a parent that is there": { needs: { parent }, facts: { parents: [parentFile(2 ** 20)] }, ...fine },
  "no parent": {
    needs: { parent },
    facts: { chainEnd: parentMissing },
    ...blocked("parent-missing", "parent"),
  },
  "a parent, and none of its own": {
    needs: { parent },
    facts: { parents: [parentFile(2 ** 20)], chainEnd: parentMissing },
    ...blocked("parent-missing", "parent"),
  },
  "a parent that was changed": {
    needs: { parent },
    facts: {
      chainEnd: new ParentMismatch({
        message: "",
        dir: "/snapshots/a",
        parentDir: "/snapshots/base",
        expectedDigest: parent.digest,
        actualDigest: "1".repeat(64),
      }),
    },
    ...blocked("parent-changed", "parent"),
  },
  "a parent that cannot be read": {
    needs: { parent },
    facts: {
      chainEnd: new ParentUnreadable({ message: "damaged", dir: "/a", parentDir: "/b", cause: undefined }),
    },
    ...blocked("chain-unusable", "parent"),
  },
  "a parent of another layout": {
    needs: { parent },
    facts: { chainEnd: new SnapshotInconsistent({ message: "laid out in another way", dir: "/a" }) },
    ...blocked("chain-unusable", "parent"),
  },
  "a chain of too many": {
    needs: { parent },
    facts: { chainEnd: new ChainTooLarge({ message: "more than 256 snapshots", dir: "/a" }) },
    ...blocked("chain-unusable", "parent"),
  },
  "a parent without its memory": {
    needs: { parent },
    facts: { parents: [parentFile("missing")] },
    ...blocked("memory-file", "/snapshots/base/memory.img"),
  },
  "a parent whose memory was cut": {
    needs: { parent },
    facts: { parents: [parentFile(4096)] },
    ...blocked("memory-file", "/snapshots/base/memory.img"),
  },
  "a parent, asked from elsewhere": { needs: { parent }, ...told("parent-unchecked", "parent") },
}

const noFacts: SnapshotFacts = {
  memoryFile: { size: needs.memoryFile.size, modified },
  resources: { resources: [], problems: [] },
  parents: [],
  chainEnd: undefined,
}

for (const [what, { host: hostChange, needs: needsChange, vcpu, facts, verdict, findings }] of Object.entries(cases)) {
  test(`${what}: ${verdict}`, () => {
    const base: SnapshotNeeds = needs.vcpu && vcpu ? { ...needs, vcpu: { ...needs.vcpu, ...vcpu } } : needs
    const result = compare({ ...base, ...needsChange }, { ...host, ...hostChange }, facts && { ...noFacts, ...facts })
    assert.equal(
      result.findings.map(({ severity, code, subject }) => [severity, code, subject]),
      findings,
    )
    assert.is(result.verdict, verdict)
    for (const { expected, actual, remedy } of result.findings) assert.ok(expected && actual && remedy)
  })
}

test("the gravest findings come first, and decide", () => {
  const altered = withCapability(
    { ...withoutBits(host, 7, 0, "ebx", 1 << 5), kernelRelease: "5.10", tscKhz: 0 },
    "SREGS2",
    0,
  )
  const { verdict, findings } = compare(needs, altered)
  assert.is(verdict, "will-not-run")
  assert.equal(
    findings.map(({ severity }) => severity),
    ["blocker", "care", "care", "info"],
  )
})

test.run()
