/**
 * The manifest: what a snapshot is, who wrote it where, and what it needs, readable without touching any state.
 *
 * Every version keeps `producer` with its `name` and `version` at the top, so that a release which cannot read a
 * manifest can still say who wrote it.
 */
import { isDeepStrictEqual } from "node:util"
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"
import { component } from "./component.ts"
import { HostProfileV1 } from "./host-profile.ts"
import { SafeUnsigned, U8, U16, U32 } from "./primitives.ts"

/** Guest memory is mapped by pages, in the guest and from the file alike. */
const PAGE_BYTES = 4096

const described = <T>(description: string, holds: (value: T) => boolean) =>
  Schema.makeFilter((value: T) => holds(value) || `expected ${description}`, { description })

const Text = Schema.String.check(Schema.isNonEmpty())
const Positive = (schema: typeof U16) => schema.check(Schema.isGreaterThanOrEqualTo(1))
const Pages = SafeUnsigned.check(Schema.isMultipleOf(PAGE_BYTES))

/** Lower or upper case hexadecimal in five groups. */
const Uuid = Schema.String.check(Schema.isUUID())

/** UTC with milliseconds, as `Date.prototype.toISOString` writes it. */
const Timestamp = Schema.String.check(
  described("a time such as 2026-01-31T12:00:00.000Z", (value: string) => {
    const time = new Date(value)
    return !Number.isNaN(time.getTime()) && time.toISOString() === value
  }),
)

/** SHA-256 in 64 lower case hexadecimal digits. */
const Sha256Text = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))

/** A file of the snapshot's own directory: never a path, so that a manifest cannot point elsewhere. */
const FileName = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/))

const Region = Schema.Struct({
  guestAddress: Pages,
  size: Pages.check(Schema.isGreaterThan(0)),
  fileOffset: Pages,
})

const ComponentEntry = Schema.Struct({
  name: Text,
  kind: Text,
  version: Positive(U32),
  optional: Schema.optionalKey(Schema.Literal(true)),
})

/** Of version 1, before profiles were a component of their own. */
const FirstHostProfile = Schema.Struct({
  kernelRelease: Schema.String,
  nodeVersion: Schema.String,
  kvmApiVersion: U32,
  capabilities: Schema.Record(Schema.String, Schema.Int),
  cpu: Schema.Struct({
    vendor: Schema.String,
    family: U16,
    model: U16,
    stepping: U8,
    brand: Schema.String,
  }),
  tscKhz: U32,
})

interface Run {
  readonly start: number
  readonly size: number
}

const apart = (runs: readonly Run[]): boolean => {
  const inOrder = [...runs].sort((a, b) => a.start - b.start)
  return inOrder.every((run, index) => run.start + run.size <= (inOrder[index + 1]?.start ?? Number.MAX_SAFE_INTEGER))
}

const MemoryLayout = Schema.Struct({
  regions: Schema.Array(Region),
  file: Schema.Struct({ name: FileName, size: SafeUnsigned }),
}).check(
  described("memory regions that do not overlap", ({ regions }) =>
    apart(regions.map((region) => ({ start: region.guestAddress, size: region.size }))),
  ),
  described("memory regions in parts of the file of their own", ({ regions }) =>
    apart(regions.map((region) => ({ start: region.fileOffset, size: region.size }))),
  ),
  described("memory regions inside the memory file", ({ regions, file }) =>
    regions.every((region) => region.fileOffset + region.size <= file.size),
  ),
)

const ManifestV1 = Schema.Struct({
  producer: Schema.Struct({ name: Text, version: Text }),
  createdAt: Timestamp,
  id: Uuid,
  type: Schema.Literal("full"),
  architecture: Text,
  machine: Schema.Struct({
    vcpuCount: Positive(U16),
    memoryBytes: SafeUnsigned,
    label: Schema.optionalKey(Schema.String),
  }),
  memory: MemoryLayout,
  components: Schema.Array(ComponentEntry),
  host: FirstHostProfile,
  parent: Schema.NullOr(Schema.Struct({ id: Uuid, digest: Sha256Text })),
  resources: Schema.Array(Schema.Struct({ name: Text, kind: Text, path: Text })),
}).check(described("no parent in a full snapshot", ({ parent }) => parent === null))

/** Version 2: the whole profile of the host, and by what a resource is known again. */
const ManifestV2 = Schema.Struct({
  ...ManifestV1.fields,
  host: HostProfileV1,
  resources: Schema.Array(
    Schema.Struct({
      name: Text,
      kind: Text,
      path: Text,
      /** Bytes of the file, where it is one. */
      size: Schema.optionalKey(SafeUnsigned),
      /** When it was last changed. */
      modified: Schema.optionalKey(Timestamp),
    }),
  ),
}).check(described("no parent in a full snapshot", ({ parent }) => parent === null))

/** A directory beside the snapshot's own; never a path, so that a manifest cannot point elsewhere. */
const SiblingName = Schema.String.check(
  described("the name of a directory", (name: string) => !/[/\0]/.test(name) && !["", ".", ".."].includes(name)),
)

/**
 * Version 3: differences to a parent. The regions lie in flat memory, which a full snapshot's file is; a difference's file
 * holds the pages that changed, one behind the other, and a table of them.
 */
const ManifestV3 = Schema.Struct({
  ...ManifestV2.fields,
  type: Schema.Literals(["full", "diff"]),
  memory: Schema.Struct({
    regions: Schema.Array(Region),
    /** Bytes of flat memory: all regions behind each other. */
    size: SafeUnsigned,
    file: Schema.Struct({ name: FileName, size: SafeUnsigned }),
    /** Where the table is in a difference's file, and how many runs it has. */
    diff: Schema.NullOr(Schema.Struct({ tableOffset: Pages, runs: SafeUnsigned })),
  }).check(
    described("memory regions that do not overlap", ({ regions }) =>
      apart(regions.map((region) => ({ start: region.guestAddress, size: region.size }))),
    ),
    described("memory regions in parts of flat memory of their own", ({ regions }) =>
      apart(regions.map((region) => ({ start: region.fileOffset, size: region.size }))),
    ),
    described("memory regions inside flat memory", ({ regions, size }) =>
      regions.every((region) => region.fileOffset + region.size <= size),
    ),
    described("a file of the size of flat memory, unless it holds a difference", ({ size, file, diff }) =>
      diff === null ? file.size === size : diff.tableOffset <= file.size,
    ),
  ),
  parent: Schema.NullOr(
    Schema.Struct({
      id: Uuid,
      digest: Sha256Text,
      /** What the parent's directory was called, where it was beside this one. */
      name: Schema.optionalKey(SiblingName),
    }),
  ),
}).check(
  described(
    "a parent and a table of changes in a diff snapshot, and neither in a full one",
    ({ type, parent, memory }) =>
      type === "full" ? parent === null && memory.diff === null : parent !== null && memory.diff !== null,
  ),
)

/** What version 1 did not record is not known. That TSCs scale is a capability, which it did. */
const fullerHost = ({ architecture, host }: typeof ManifestV1.Type): typeof HostProfileV1.Type => ({
  ...host,
  architecture,
  kvmKind: null,
  kvmModules: null,
  supportedCpuid: null,
  msrIndices: null,
  tscScales: host.capabilities["TSC_CONTROL"] === undefined ? null : host.capabilities["TSC_CONTROL"] > 0,
  memoryBytes: null,
  availableMemoryBytes: null,
  cryovm: null,
})

/** Flat memory of older snapshots is all of their file. */
const flatMemory = ({ memory }: typeof ManifestV2.Type): (typeof ManifestV3.Type)["memory"] => ({
  ...memory,
  size: memory.file.size,
  diff: null,
})

/** The manifest's versions. Version 1 takes back what it was the origin of, and nothing that it would lose. */
export const ManifestComponent = component("manifest", ManifestV1)
  .evolve<typeof ManifestV2.Type>(ManifestV2, {
    up: (older) => ({ ...older, host: fullerHost(older) }),
    down: (newer) => {
      const { kernelRelease, nodeVersion, kvmApiVersion, capabilities, cpu, tscKhz } = newer.host
      const older = { ...newer, host: { kernelRelease, nodeVersion, kvmApiVersion, capabilities, cpu, tscKhz } }
      const isLossless =
        isDeepStrictEqual(fullerHost(older), newer.host) &&
        newer.resources.every(({ size, modified }) => size === undefined && modified === undefined)
      return isLossless ? older : undefined
    },
  })
  .evolve<typeof ManifestV3.Type>(ManifestV3, {
    up: (older) => ({ ...older, memory: flatMemory(older), parent: null }),
    down: ({ type, memory: { regions, file }, ...rest }) =>
      type === "diff" ? undefined : { ...rest, type, memory: { regions, file }, parent: null },
  })

/**
 * The manifest of a snapshot, in its current version.
 *
 * `memory.regions`: addresses, sizes and offsets in bytes, whole pages of 4,096; `fileOffset` is that in flat memory, all
 * regions behind each other; `memory.file.name` is a file of the bundle. `parent.digest`: SHA-256 of the header of the
 * parent's `state.cryo`, hexadecimal. `resources`: files outside the bundle that the machine needs, such as a disk image.
 * `host`: the host it was written on, with what is packed in it still so.
 */
export type Manifest = typeof ManifestV3.Type

/** One line of {@link Manifest}'s `components`: a section without its payload. */
export type ComponentEntry = Manifest["components"][number]

/** The one architecture that this release runs. */
export const ARCHITECTURE = "x86_64"

/** A snapshot of a machine of another architecture. */
export class SnapshotArchitectureMismatch extends Data.TaggedError("SnapshotArchitectureMismatch")<{
  readonly message: string
  readonly snapshot: string
  readonly host: string
}> {
  readonly code = "CRYOVM_SNAPSHOT_ARCHITECTURE_MISMATCH"
}

/**
 * Checks that a snapshot's machine is of the architecture that runs here. The schema takes any, so that a snapshot
 * that cannot run can still be described.
 * @throws SnapshotArchitectureMismatch
 */
export const checkArchitecture = (manifest: Pick<Manifest, "architecture">, host: string = ARCHITECTURE): void => {
  if (manifest.architecture === host) return
  throw new SnapshotArchitectureMismatch({
    message: `the snapshot is of a ${manifest.architecture} machine and cannot run on ${host}`,
    snapshot: manifest.architecture,
    host,
  })
}
