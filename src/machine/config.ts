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
import { isInterval, MAX_INTERVAL_SECONDS, MIN_INTERVAL_SECONDS } from "../devices/balloon/interval.ts"
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

/** The limits of a polling interval are the balloon's own. */
const PollingSeconds: Schema.Codec<number> = Schema.declare(
  (input): input is number => typeof input === "number" && isInterval(input),
  { message: `expected 0, or ${MIN_INTERVAL_SECONDS} to ${MAX_INTERVAL_SECONDS} seconds` },
)

const BalloonConfig = Schema.Struct({
  /** MiB that the guest is asked for as soon as it has a driver. */
  targetMib: integer(0, MAX_MEMORY_MIB).pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** The guest takes memory back out of the balloon before it kills a process for want of it. */
  deflateOnOom: Flag.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  /** The guest tells of its memory when it is asked. */
  statistics: Flag.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
  /** How often it is asked; 0 for not at all. Can be changed at run time. */
  statisticsIntervalSeconds: PollingSeconds.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** The guest names what it has free when it is told to. Relies on how the driver goes about it: devices/balloon/hinting.ts. */
  freePageHinting: Flag.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  /** The guest names what it has free as it becomes so. */
  freePageReporting: Flag.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
})

const DevicesConfig = Schema.Struct({
  /** A virtio-rng device. */
  rng: Flag.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
  /** The virtio-console through which the host speaks with the guest agent. */
  agent: Flag.pipe(Schema.withDecodingDefaultKey(Effect.succeed(true))),
  /** A virtio-balloon, by which the guest gives memory back; `{}` for one with nothing out of the ordinary. */
  balloon: Schema.Union([Schema.Literal(false), BalloonConfig])
    .annotate({ message: "expected false or an object" })
    .pipe(Schema.withDecodingDefaultKey(Effect.succeed(false as const))),
}).annotate({ message: "expected an object" })

/** What a balloon offers its driver: part of what the machine is, as opposed to what it is asked for. */
const BalloonFeatures = Schema.Struct({
  deflateOnOom: Schema.Boolean,
  statistics: Schema.Boolean,
  freePageHinting: Schema.Boolean,
  freePageReporting: Schema.Boolean,
})

/** A machine's balloon. What it starts with is left out for a machine that is restored: its state tells. */
export type BalloonSetup = typeof BalloonFeatures.Type & {
  readonly targetMib?: number
  readonly statisticsIntervalSeconds?: number
}

/** Which optional devices a machine has. */
export type DeviceSet = Omit<typeof DevicesConfig.Type, "balloon"> & { readonly balloon: false | BalloonSetup }

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
  /**
   * From its first snapshot on, have KVM log what the guest writes, so that a diff need not compare memory. Costs the
   * guest a fault at the first write to a page after each snapshot. No part of what a snapshot keeps.
   */
  trackDirtyPages: Flag.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  /** A name for the machine, for logs and listings. */
  label: Schema.optionalKey(Text),
}).annotate({ message: "expected an object" })

/** Where a key may be left out, `undefined` says the same. */
type AllowUndefined<T> = { readonly [K in keyof T]: Pick<T, K> extends Required<Pick<T, K>> ? T[K] : T[K] | undefined }
type ConfigInput = typeof Config.Encoded

/** What a user may give; what is left out (or `undefined`) has a default. */
export type MicroVmConfig = AllowUndefined<Omit<ConfigInput, "devices">> & {
  readonly devices?: DevicesInput | undefined
}
type DevicesInput = AllowUndefined<Omit<NonNullable<ConfigInput["devices"]>, "balloon">> & {
  readonly balloon?: false | AllowUndefined<typeof BalloonConfig.Encoded> | undefined
}
/** A checked configuration with every default filled in. */
export type MachineConfig = typeof Config.Type

/** Without the keys that are `undefined`; in the devices too. */
const withoutUndefined = (input: unknown): unknown => {
  if (typeof input !== "object" || input === null || ArrayBuffer.isView(input)) return input
  const entries = Object.entries(input).filter(([, value]) => value !== undefined)
  return Object.fromEntries(
    entries.map(([key, value]) => [key, key === "devices" || key === "balloon" ? withoutUndefined(value) : value]),
  )
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

/** What is wrong with fields that are right each by itself. */
const contradictions = ({ memoryMib, devices: { balloon } }: MachineConfig): readonly ConfigIssue[] => {
  if (balloon === false) return []
  const issues: ConfigIssue[] = []
  if (balloon.targetMib > memoryMib) {
    issues.push({ path: "devices.balloon.targetMib", message: `expected at most memoryMib, ${memoryMib}` })
  }
  if (!balloon.statistics && balloon.statisticsIntervalSeconds > 0) {
    issues.push({ path: "devices.balloon.statisticsIntervalSeconds", message: "expected 0 without statistics" })
  }
  return issues
}

const invalid = (issues: readonly ConfigIssue[]): ConfigInvalid => {
  const lines = issues.map((issue) => (issue.path === "" ? issue.message : `${issue.path}: ${issue.message}`))
  return new ConfigInvalid({ message: `the configuration is not valid: ${lines.join("; ")}`, issues })
}

/**
 * Checks a configuration and fills in the defaults.
 * @throws ConfigInvalid
 */
export const decodeConfig = (input: unknown): MachineConfig => {
  const exit = decode(withoutUndefined(input ?? {}), { errors: "all", onExcessProperty: "error" })
  if (Exit.isSuccess(exit)) {
    const issues = contradictions(exit.value)
    if (issues.length > 0) throw invalid(issues)
    return exit.value
  }
  const error = Cause.squash(exit.cause)
  const issues: readonly ConfigIssue[] = Schema.isSchemaError(error)
    ? formatIssues(error.issue).issues.map((issue) => ({ path: pathText(issue.path), message: issue.message }))
    : [{ path: "", message: String(error) }]
  throw invalid(issues)
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

/** Version 2: with the balloon. */
export const MachineV2 = Schema.Struct({
  ...MachineV1.fields,
  devices: Schema.Struct({
    rng: Schema.Boolean,
    agent: Schema.Boolean,
    balloon: Schema.Union([Schema.Literal(false), BalloonFeatures]),
  }),
})

/** What a snapshot stores of the machine's configuration. */
export type MachineState = typeof MachineV2.Type

/** What a snapshot stores of the devices of a machine. */
export const storedDevices = ({ rng, agent, balloon }: DeviceSet): MachineState["devices"] => {
  if (balloon === false) return { rng, agent, balloon }
  const { deflateOnOom, statistics, freePageHinting, freePageReporting } = balloon
  return { rng, agent, balloon: { deflateOnOom, statistics, freePageHinting, freePageReporting } }
}

export const machineComponent = component<typeof MachineV1.Type>("machine", MachineV1).evolve<MachineState>(MachineV2, {
  up: ({ devices, ...others }) => ({ ...others, devices: { ...devices, balloon: false } }),
  down: ({ devices: { balloon, ...devices }, ...others }) => (balloon === false ? { ...others, devices } : undefined),
})
