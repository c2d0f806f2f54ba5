/**
 * What a snapshot needs of a host: small, and all that a check of compatibility asks of the snapshot. A scheduler that
 * has it needs neither the state nor the memory.
 */
import * as Schema from "effect/Schema"
import { component } from "../../state/component.ts"
import { KvmKind } from "../../state/host-profile.ts"
import { SafeUnsigned, U8, U16, U32 } from "../../state/primitives.ts"

const Processor = Schema.Struct({
  vendor: Schema.String,
  family: U16,
  model: U16,
  stepping: U8,
  brand: Schema.String,
})

export const SnapshotNeedsV1 = Schema.Struct({
  /** Of the snapshot. */
  id: Schema.String,
  producer: Schema.Struct({ name: Schema.String, version: Schema.String }),
  /** Of `state.cryo`. */
  formatVersion: U32,
  architecture: Schema.String,
  vcpuCount: U32,
  memoryBytes: SafeUnsigned,
  /** Every section, and the manifest. */
  components: Schema.Array(
    Schema.Struct({ name: Schema.String, kind: Schema.String, version: U32, optional: Schema.Boolean }),
  ),
  /** What the machine's processors want; `null` where their state is of a version that could not be read. */
  vcpu: Schema.NullOr(
    Schema.Struct({
      /** The processor that the guest was shown. */
      processor: Processor,
      /** Features that the guest was shown, and components of XSAVE that it has turned on, of all its vCPUs together. */
      features: Schema.Array(
        Schema.Struct({
          leaf: U32,
          subleaf: U32,
          register: Schema.Literals(["eax", "ebx", "ecx", "edx"]),
          bits: U32,
        }),
      ),
      /** Bytes of XSAVE state up to the last that is not zero. */
      xsaveBytes: U32,
      /** Model-specific registers with another value than zero, which nearly all have after a reset. */
      msrs: Schema.Array(U32),
      /** Frequency of the TSC; 0 where KVM did not tell. */
      tscKhz: U32,
      /** The guest was running a guest of its own. */
      nested: Schema.Boolean,
    }),
  ),
  /** What the snapshot was written on. */
  host: Schema.Struct({
    kernelRelease: Schema.String,
    kvmKind: Schema.NullOr(KvmKind),
    kvmModules: Schema.NullOr(Schema.Array(Schema.String)),
    capabilities: Schema.Record(Schema.String, Schema.Int),
  }),
  memoryFile: Schema.Struct({ name: Schema.String, size: SafeUnsigned }),
  resources: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      kind: Schema.String,
      path: Schema.String,
      size: Schema.NullOr(SafeUnsigned),
      modified: Schema.NullOr(Schema.String),
    }),
  ),
  parent: Schema.NullOr(Schema.Struct({ id: Schema.String, digest: Schema.String })),
})

/** What a snapshot needs. Plain data; `formatSnapshotNeeds` gives the JSON that later releases read, too. */
export type SnapshotNeeds = typeof SnapshotNeedsV1.Type

export type VcpuNeeds = NonNullable<SnapshotNeeds["vcpu"]>

export const snapshotNeedsComponent = component<SnapshotNeeds>("snapshot-needs", SnapshotNeedsV1)
