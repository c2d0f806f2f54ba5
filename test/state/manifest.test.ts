import { test } from "uvu"
import * as assert from "uvu/assert"
import { StateDowngradeLossy, StateInvalid } from "../../src/state/component.ts"
import {
  checkArchitecture,
  type Manifest,
  ManifestComponent,
  SnapshotArchitectureMismatch,
} from "../../src/state/manifest.ts"
import { encodeMsgpack } from "../../src/state/msgpack.ts"
import { sampleManifest, thrownBy } from "./samples.ts"

test("a manifest comes back as it was", () => {
  const manifest = sampleManifest()
  assert.equal(ManifestComponent.decode(ManifestComponent.encode(manifest)), manifest)
  const { label: _, ...machine } = manifest.machine
  const plain = { ...manifest, machine, resources: [{ name: "disk0", kind: "block", path: "/a" }] }
  assert.equal(ManifestComponent.decode(ManifestComponent.encode(plain)), plain)
  const known = {
    ...plain,
    resources: [{ ...plain.resources[0], size: 4096, modified: manifest.createdAt }],
  } as Manifest
  assert.equal(ManifestComponent.decode(ManifestComponent.encode(known)), known)
})

const PAGE = 4096
const layout = (regions: Manifest["memory"]["regions"], size = 4 * PAGE): Partial<Manifest> => ({
  memory: { regions, size, file: { name: "memory.img", size }, diff: null },
})
const file = (name: string): Partial<Manifest> => ({
  memory: { regions: [], size: 0, file: { name, size: 0 }, diff: null },
})
const sample = sampleManifest()

const parent = { id: "5f0c0f2e-7c55-4f0f-8f0b-5a6a3c2d1e0f", digest: "0123456789abcdef".repeat(4), name: "base" }
const diffMemory = {
  ...sample.memory,
  file: { name: "memory.diff", size: 2 * PAGE },
  diff: { tableOffset: PAGE, runs: 1 },
}
const diff: Manifest = { ...sample, type: "diff", parent, memory: diffMemory }

test("a difference comes back as it was, and no older version takes it", () => {
  assert.equal(ManifestComponent.decode(ManifestComponent.encode(diff)), diff)
  for (const version of [1, 2]) {
    assert.instance(
      thrownBy(() => ManifestComponent.encode(diff, version)),
      StateDowngradeLossy,
    )
  }
})

test("version 2 takes a full snapshot back, and all of its file is flat memory", () => {
  const back = ManifestComponent.encode(sample, 2)
  assert.is(back.version, 2)
  assert.equal(ManifestComponent.decode(back), sample)
})

const refused: Record<string, Partial<Manifest> | Record<string, unknown>> = {
  "a path as memory file": file("../memory.img"),
  "an absolute path as memory file": file("/etc/passwd"),
  "a hidden or parent memory file": file(".."),
  "an empty memory file name": file(""),
  "a memory file name with a line end": file("memory.img\n"),
  "regions that overlap in the guest": layout([
    { guestAddress: 0, size: 2 * PAGE, fileOffset: 0 },
    { guestAddress: PAGE, size: PAGE, fileOffset: 2 * PAGE },
  ]),
  "regions that overlap in the file": layout([
    { guestAddress: 0, size: 2 * PAGE, fileOffset: 0 },
    { guestAddress: 4 * PAGE, size: PAGE, fileOffset: PAGE },
  ]),
  "a region beyond the file": layout([{ guestAddress: 0, size: 2 * PAGE, fileOffset: 3 * PAGE }]),
  "a region of no size": layout([{ guestAddress: 0, size: 0, fileOffset: 0 }]),
  "a region of half a page": layout([{ guestAddress: 0, size: 2048, fileOffset: 0 }]),
  "a region beyond 2^53": layout([{ guestAddress: Number.MAX_SAFE_INTEGER - 4095, size: PAGE, fileOffset: 0 }]),
  "a time without milliseconds": { createdAt: "2026-01-31T12:00:00Z" },
  "a day that is not": { createdAt: "2026-02-30T12:00:00.000Z" },
  "an id that is no UUID": { id: "snapshot-1" },
  "another type": { type: "half" },
  "a parent of a full snapshot": { parent },
  "a table of changes in a full snapshot": { memory: diffMemory },
  "a diff without a parent": { type: "diff", memory: diffMemory },
  "a diff without a table of changes": { type: "diff", parent },
  "a table behind the end of the file": {
    type: "diff",
    parent,
    memory: { ...diffMemory, diff: { tableOffset: 3 * PAGE, runs: 0 } },
  },
  "a full snapshot's file of another size than its memory": { memory: { ...sample.memory, size: 4 * PAGE } },
  "a parent in another place": { type: "diff", memory: diffMemory, parent: { ...parent, name: "../base" } },
  "a parent that is its own directory": { type: "diff", memory: diffMemory, parent: { ...parent, name: "." } },
  "no vCPU": { machine: { vcpuCount: 0, memoryBytes: 0 } },
  "a component of version 0": { components: [{ name: "a", kind: "a", version: 0 }] },
  "packed CPUID that is cut off": { host: { ...sample.host, supportedCpuid: new Uint8Array(27) } },
  "an unknown kind of KVM": { host: { ...sample.host, kvmKind: "tcg" } },
  "an unknown field": { extra: 1 },
  "an unknown field inside": { producer: { name: "a", version: "b", extra: 1 } },
}

for (const [what, change] of Object.entries(refused)) {
  test(`refused: ${what}`, () => {
    assert.instance(
      thrownBy(() => ManifestComponent.encode({ ...sample, ...change } as Manifest)),
      StateInvalid,
    )
  })
}

test("another architecture can be described, and is refused by the check", () => {
  const manifest = { ...sample, architecture: "aarch64" }
  assert.is(ManifestComponent.decode(ManifestComponent.encode(manifest)).architecture, "aarch64")
  checkArchitecture(sample)
  const error = thrownBy(() => checkArchitecture(manifest)) as SnapshotArchitectureMismatch
  assert.instance(error, SnapshotArchitectureMismatch)
  assert.is(error.snapshot, "aarch64")
  assert.is(error.host, "x86_64")
})

const first = () => {
  const { host, memory, ...others } = sample
  const { kernelRelease, nodeVersion, kvmApiVersion, capabilities, cpu, tscKhz } = host
  const { regions, file } = memory
  return {
    ...others,
    memory: { regions, file },
    host: { kernelRelease, nodeVersion, kvmApiVersion, capabilities, cpu, tscKhz },
  }
}
const readFirst = (change: object = {}): Manifest =>
  ManifestComponent.decode({ version: 1, payload: encodeMsgpack({ ...first(), ...change }) })

test("what version 1 did not record of the host is not known", () => {
  const manifest = readFirst({ architecture: "aarch64" })
  assert.equal(manifest.host, {
    ...first().host,
    architecture: "aarch64",
    kvmKind: null,
    kvmModules: null,
    supportedCpuid: null,
    msrIndices: null,
    tscScales: null,
    memoryBytes: null,
    availableMemoryBytes: null,
    cryovm: null,
  })
  assert.is(readFirst({ host: { ...first().host, capabilities: { TSC_CONTROL: 1 } } }).host.tscScales, true)
  assert.is(readFirst({ host: { ...first().host, capabilities: { TSC_CONTROL: 0 } } }).host.tscScales, false)
})

test("version 1 takes back what came from it, and refuses what it would lose", () => {
  const manifest = readFirst({ resources: [{ name: "disk0", kind: "block", path: "/a" }] })
  const back = ManifestComponent.encode(manifest, 1)
  assert.is(back.version, 1)
  assert.equal(ManifestComponent.decode(back), manifest)
  const lossy: readonly Manifest[] = [
    sample,
    { ...manifest, host: { ...manifest.host, memoryBytes: 1 } },
    { ...manifest, host: { ...manifest.host, architecture: "aarch64" } },
    { ...manifest, resources: [{ name: "disk0", kind: "block", path: "/a", size: 1 }] },
    { ...manifest, resources: [{ name: "disk0", kind: "block", path: "/a", modified: sample.createdAt }] },
  ]
  for (const each of lossy) {
    assert.instance(
      thrownBy(() => ManifestComponent.encode(each, 1)),
      StateDowngradeLossy,
    )
  }
})

test.run()
