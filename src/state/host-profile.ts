/**
 * A host profile as it is stored: what a host is, as far as it decides whether a saved machine can run there.
 *
 * The same schema is a component of its own and part of the manifest. Lists of registers are packed, because the
 * manifest is read at every restore; `machine/host-profile.ts` gives them names, and a form in JSON.
 */
import * as Schema from "effect/Schema"
import { component } from "./component.ts"
import { SafeUnsigned, U8, U16, U32 } from "./primitives.ts"

const inWholes = (size: number) =>
  Schema.Uint8Array.check(
    Schema.makeFilter(
      (value: Uint8Array) => value.length % size === 0 || `expected a multiple of ${size} bytes, got ${value.length}`,
      { description: `a multiple of ${size} bytes` },
    ),
  )

/** Bytes of one CPUID entry: function, index, flags, EAX, EBX, ECX, EDX, each a little endian u32. */
export const PACKED_CPUID_BYTES = 28
/** Bytes of one index of a model-specific register, a little endian u32. */
export const PACKED_MSR_BYTES = 4

/** How KVM runs guests: `vmx` (VT-x), `svm` (AMD-V), or something else, such as pagetable-based virtualization. */
export const KvmKind = Schema.Literals(["vmx", "svm", "other"])

/** `null` and a frequency of 0 are what is not known; a profile in a snapshot of an old release lacks much. */
export const HostProfileV1 = Schema.Struct({
  /** As `uname -m` has it. */
  architecture: Schema.String,
  kernelRelease: Schema.String,
  nodeVersion: Schema.String,
  kvmApiVersion: U32,
  kvmKind: Schema.NullOr(KvmKind),
  /** Modules of the kernel that begin with `kvm`, in order of their names. */
  kvmModules: Schema.NullOr(Schema.Array(Schema.String)),
  /** KVM_CHECK_EXTENSION by the capability's name without `KVM_CAP_`. */
  capabilities: Schema.Record(Schema.String, Schema.Int),
  cpu: Schema.Struct({
    vendor: Schema.String,
    family: U16,
    model: U16,
    stepping: U8,
    brand: Schema.String,
  }),
  /** KVM_GET_SUPPORTED_CPUID with the features that KVM shows a guest even so, packed. */
  supportedCpuid: Schema.NullOr(inWholes(PACKED_CPUID_BYTES)),
  /** KVM_GET_MSR_INDEX_LIST, packed. */
  msrIndices: Schema.NullOr(inWholes(PACKED_MSR_BYTES)),
  /** Frequency that a guest's TSC has without scaling. */
  tscKhz: U32,
  /** KVM_CAP_TSC_CONTROL: a guest's TSC can have another frequency than the host's. */
  tscScales: Schema.NullOr(Schema.Boolean),
  /** RAM in bytes. */
  memoryBytes: Schema.NullOr(SafeUnsigned),
  /** What of it was free when the profile was taken, in bytes. */
  availableMemoryBytes: Schema.NullOr(SafeUnsigned),
  /** What the cryovm there reads: format of `state.cryo`, and each kind of state up to which version. */
  cryovm: Schema.NullOr(
    Schema.Struct({ version: Schema.String, formatVersion: U32, components: Schema.Record(Schema.String, U32) }),
  ),
})

/** A host profile as it is stored, in its current version. */
export type StoredHostProfile = typeof HostProfileV1.Type

export const hostProfileComponent = component<StoredHostProfile>("host-profile", HostProfileV1)
