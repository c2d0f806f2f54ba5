import { readFileSync } from "node:fs"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { StateInvalid } from "../../src/state/component.ts"
import { describeRegistry } from "../../src/state/describe-schema.ts"
import {
  checkArchitecture,
  type Manifest,
  ManifestComponent,
  SnapshotArchitectureMismatch,
} from "../../src/state/manifest.ts"
import { makeRegistry } from "../../src/state/registry.ts"
import { sampleManifest, thrownBy } from "./samples.ts"

test("a manifest comes back as it was", () => {
  const manifest = sampleManifest()
  assert.equal(ManifestComponent.decode(ManifestComponent.encode(manifest)), manifest)
  const { label: _, ...machine } = manifest.machine
  const plain = { ...manifest, machine, resources: [{ name: "disk0", kind: "block", path: "/a" }] }
  assert.equal(ManifestComponent.decode(ManifestComponent.encode(plain)), plain)
})

const PAGE = 4096
const layout = (regions: Manifest["memory"]["regions"], size = 4 * PAGE): Partial<Manifest> => ({
  memory: { regions, file: { name: "memory.img", size } },
})
const file = (name: string): Partial<Manifest> => ({ memory: { regions: [], file: { name, size: 0 } } })
const sample = sampleManifest()

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
  "another type": { type: "diff" },
  "a parent of a full snapshot": { parent: { id: sample.id, digest: "0".repeat(64) } },
  "no vCPU": { machine: { vcpuCount: 0, memoryBytes: 0 } },
  "a component of version 0": { components: [{ name: "a", kind: "a", version: 0 }] },
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

test("released schemas are as they were frozen", () => {
  // A difference here means that a schema was edited. Add a version with evolve() instead, and freeze that one too.
  const frozen = new URL("../../../test/state/frozen/manifest.json", import.meta.url)
  const described = describeRegistry(makeRegistry([ManifestComponent]))
  assert.equal(described, JSON.parse(readFileSync(frozen, "utf8")))
})

test.run()
