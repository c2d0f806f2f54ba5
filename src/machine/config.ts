/**
 * What a user configures of a machine, and what a snapshot keeps of it.
 *
 * {@link MicroVmConfig} is the input, where everything may be left out; {@link decodeConfig} checks it, tells
 * every mistake at once and fills in the defaults. {@link machineComponent} is the wire form: the machine as it was
 * built, with the digests of the kernel and the initramfs instead of their bytes.
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { component } from "../state/component.ts"
import { FixedBytes } from "../state/primitives.ts"

/** One mistake in a configuration. */
export interface ConfigIssue {
  /** The field, as in `devices.rng`; empty for the configuration as a whole. */
  readonly path: string
  readonly message: string
}

/** A configuration has mistakes; `issues` has all of them. */
export class ConfigInvalid extends Data.TaggedError("ConfigInvalid")<{
  readonly message: string
  readonly issues: readonly ConfigIssue[]
}> {
  readonly code = "CRYOVM_CONFIG_INVALID"
}

export const MAX_VCPUS = 8
/** 1 TiB. */
export const MAX_MEMORY_MIB = 1024 * 1024
export const MIN_MEMORY_MIB = 32

/** One message, whatever is wrong with it: a string, a fraction or out of range. */
const integer = (minimum: number, maximum: number): Schema.Codec<number> =>
  Schema.declare(
    (input): input is number =>
      typeof input === "number" && Number.isInteger(input) && input >= minimum && input <= maximum,
    { message: `expected an integer from ${minimum} to ${maximum}` },
  )

type ImageSource<Name extends string> = Name | { readonly path: string } | { readonly bytes: Uint8Array }

/** A kernel or initramfs: a file, bytes in memory, or a name for one that cryovm knows. */
const imageSource = <const Name extends string>(...names: readonly Name[]): Schema.Codec<ImageSource<Name>> =>
  Schema.declare(
    (input): input is ImageSource<Name> => {
      if (typeof input !== "object" || input === null) return (names as readonly unknown[]).includes(input)
      const [[key, value] = [], ...others] = Object.entries(input)
      if (others.length > 0) return false
      return (
        (key === "path" && typeof value === "string" && value !== "") ||
        (key === "bytes" && value instanceof Uint8Array)
      )
    },
    { message: `expected ${names.map((name) => `"${name}"`).join(", ")}, { path: string } or { bytes: Uint8Array }` },
  )

const KernelSource = imageSource("embedded")
const InitramfsSource = imageSource("embedded", "none")

/** Where the kernel comes from. */
export type KernelSource = typeof KernelSource.Type
/** Where the initramfs comes from. */
export type InitramfsSource = typeof InitramfsSource.Type

const Flag = Schema.Boolean.annotate({ message: "expected true or false" })
const Text = Schema.String.annotate({ message: "expected a string" })

const bootProtocols = ["auto", "linux64", "pvh"] as const
const BootProtocol = Schema.Literals(bootProtocols).annotate({
  message: `expected one of ${bootProtocols.map((name) => `"${name}"`).join(", ")}`,
})
/** How the kernel is entered: `auto` chooses by what the kernel offers. */
export type BootProtocol = typeof BootProtocol.Type

const DevicesConfig = Schema.Struct({
  /** A virtio-rng device. */
  rng: Flag.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
  /** The virtio-console through which the host speaks with the guest agent. */
  agent: Flag.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
}).annotate({ message: "expected an object" })

/** Which optional devices a machine has. */
export type DeviceSet = typeof DevicesConfig.Type

const Config = Schema.Struct({
  /** Number of virtual processors, 1 to {@link MAX_VCPUS}. */
  vcpus: integer(1, MAX_VCPUS).pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  /** RAM in MiB. */
  memoryMib: integer(MIN_MEMORY_MIB, MAX_MEMORY_MIB).pipe(Schema.withDecodingDefaultKey(Effect.succeed(128))),
  kernel: KernelSource.pipe(Schema.withDecodingDefaultKey(Effect.succeed("embedded" as const))),
  initramfs: InitramfsSource.pipe(Schema.withDecodingDefaultKey(Effect.succeed("embedded" as const))),
  /** Replaces the default kernel command line. The devices' own arguments are appended to it all the same. */
  commandLine: Schema.optionalKey(Text),
  /** Appended to the kernel command line. */
  extraCommandLine: Schema.optionalKey(Text),
  bootProtocol: BootProtocol.pipe(Schema.withDecodingDefaultKey(Effect.succeed("auto" as const))),
  devices: DevicesConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** A name for the machine, for logs and listings. */
  label: Schema.optionalKey(Text),
}).annotate({ message: "expected an object" })

/** Where a key may be left out, `undefined` says the same. */
type AllowUndefined<T> = { readonly [K in keyof T]: Pick<T, K> extends Required<Pick<T, K>> ? T[K] : T[K] | undefined }
type ConfigInput = typeof Config.Encoded

/** What a user may give; what is left out (or `undefined`) has a default. */
export type MicroVmConfig = AllowUndefined<Omit<ConfigInput, "devices">> & {
  readonly devices?: AllowUndefined<NonNullable<ConfigInput["devices"]>> | undefined
}
/** A checked configuration with every default filled in. */
export type MachineConfig = typeof Config.Type

/** Without the keys that are `undefined`; in the devices too. */
const withoutUndefined = (input: unknown): unknown => {
  if (typeof input !== "object" || input === null || ArrayBuffer.isView(input)) return input
  const entries = Object.entries(input).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries.map(([key, value]) => [key, key === "devices" ? withoutUndefined(value) : value]))
}

const decode = Schema.decodeUnknownExit(Config)
const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => {
    if (issue._tag === "UnexpectedKey") return "unknown field; see MicroVmConfig for the fields there are"
    return SchemaIssue.defaultLeafHook(issue)
  },
})

const pathText = (path: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined): string =>
  (path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".")

/**
 * Checks a configuration and fills in the defaults.
 * @throws ConfigInvalid
 */
export const decodeConfig = (input: unknown): MachineConfig => {
  const exit = decode(withoutUndefined(input ?? {}), { errors: "all", onExcessProperty: "error" })
  if (Exit.isSuccess(exit)) return exit.value
  const error = Cause.squash(exit.cause)
  const issues: readonly ConfigIssue[] = Schema.isSchemaError(error)
    ? formatIssues(error.issue).issues.map((issue) => ({ path: pathText(issue.path), message: issue.message }))
    : [{ path: "", message: String(error) }]
  const lines = issues.map((issue) => (issue.path === "" ? issue.message : `${issue.path}: ${issue.message}`))
  throw new ConfigInvalid({ message: `the configuration is not valid: ${lines.join("; ")}`, issues })
}

const within = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const ImageRecord = Schema.Struct({
  sha256: FixedBytes(32),
  /** Where it came from, for people: a path, `embedded` or `bytes`. Nothing is read from there on restore. */
  source: Schema.String,
})
/** Digest and origin of a kernel or an initramfs. */
export type ImageRecord = typeof ImageRecord.Type

/** Version 1 of what a snapshot stores of the machine's configuration. */
export const MachineV1 = Schema.Struct({
  vcpus: within(1, MAX_VCPUS),
  memoryMib: within(MIN_MEMORY_MIB, MAX_MEMORY_MIB),
  /** The whole command line that the guest was booted with. */
  commandLine: Schema.String,
  label: Schema.optionalKey(Schema.String),
  devices: Schema.Struct({ rng: Schema.Boolean, agent: Schema.Boolean }),
  kernel: ImageRecord,
  initramfs: Schema.optionalKey(ImageRecord),
})

/** What a snapshot stores of the machine's configuration. */
export type MachineState = typeof MachineV1.Type

export const machineComponent = component<MachineState>("machine", MachineV1)
