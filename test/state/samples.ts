/** A manifest and sections to begin from, shared by the tests of state and bundles. */

import * as Schema from "effect/Schema"
import { component } from "../../src/state/component.ts"
import { componentsOf, type Envelope, type Section } from "../../src/state/envelope.ts"
import type { Manifest } from "../../src/state/manifest.ts"
import { U32, U64 } from "../../src/state/primitives.ts"
import { encodeSection } from "../../src/state/registry.ts"

export const Counter = component("counter", Schema.Struct({ ticks: U64, step: U32 }))

export const sampleSections = (): Section[] => [
  encodeSection("counter0", Counter, { ticks: (1n << 64n) - 1n, step: 7 }),
  encodeSection("counter1", Counter, { ticks: 0n, step: 0 }, { optional: true }),
]

export const sampleManifest = (sections: readonly Section[] = sampleSections()): Manifest => ({
  producer: { name: "cryovm", version: "0.1.0" },
  createdAt: "2026-01-31T12:00:00.000Z",
  id: "0b0f3a52-8f3b-4c8e-9d46-0d9a3f0c2b11",
  type: "full",
  architecture: "x86_64",
  machine: { vcpuCount: 2, memoryBytes: 8192, label: "sample" },
  memory: {
    regions: [
      { guestAddress: 0, size: 4096, fileOffset: 0 },
      { guestAddress: 2 ** 32, size: 4096, fileOffset: 4096 },
    ],
    size: 8192,
    file: { name: "memory.img", size: 8192 },
    diff: null,
  },
  components: componentsOf(sections),
  host: {
    kernelRelease: "6.1.0",
    nodeVersion: "v20.20.2",
    kvmApiVersion: 12,
    capabilities: { USER_MEMORY: 1, NR_MEMSLOTS: 32764 },
    cpu: { vendor: "GenuineIntel", family: 6, model: 85, stepping: 7, brand: "a CPU" },
    tscKhz: 2_500_000,
    architecture: "x86_64",
    kvmKind: "vmx",
    kvmModules: ["kvm", "kvm_intel"],
    supportedCpuid: new Uint8Array(28),
    msrIndices: Uint8Array.of(0x10, 0, 0, 0),
    tscScales: true,
    memoryBytes: 2 ** 34,
    availableMemoryBytes: null,
    cryovm: { version: "0.1.0", formatVersion: 1, components: { manifest: 2 } },
  },
  parent: null,
  resources: [],
})

export const sampleEnvelope = (): Envelope => {
  const sections = sampleSections()
  return { manifest: sampleManifest(sections), sections }
}

/** What a function throws; fails the test when it throws nothing. */
export const thrownBy = (body: () => unknown): { readonly _tag?: string; readonly message: string } => {
  try {
    body()
  } catch (error) {
    return error as { readonly _tag?: string; readonly message: string }
  }
  throw new Error("nothing was thrown")
}
