/**
 * From a configuration to a machine that is ready for its first instruction.
 */
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { resolve } from "node:path"
import * as Effect from "effect/Effect"
import { type EmbeddedGuest, type EmbeddedGuestDamaged, loadEmbeddedGuest } from "../guest/embedded.ts"
import { type KvmError, type NativeHostProbe, toKvmError } from "../native.ts"
import { writeBootStructures } from "./boot/boot-structures.ts"
import { setBootState } from "./boot/boot-vcpus.ts"
import { CommandLineInvalid, DEFAULT_COMMAND_LINE, makeCommandLine } from "./boot/command-line.ts"
import {
  type ConfigInvalid,
  decodeConfig,
  type ImageRecord,
  type InitramfsSource,
  type KernelSource,
  type MachineConfig,
  type MachineState,
  type MicroVmConfig,
  storedDevices,
} from "./config.ts"
import { BootFileUnreadable } from "./errors.ts"
import { MsrRefused } from "./kvm/msr-refused.ts"
import { InitramfsInvalid, loadInitramfs } from "./loader/initramfs.ts"
import { loadKernel } from "./loader/kernel.ts"
import { KernelInvalid } from "./loader/kernel-invalid.ts"
import type { Machine } from "./machine.ts"

const MIB = 2 ** 20

interface BootImage {
  readonly bytes: Uint8Array
  readonly record: ImageRecord
}

/** A checked configuration with everything read that it names. */
export interface BootPlan {
  readonly config: MachineConfig
  readonly memoryBytes: number
  readonly kernel: BootImage
  readonly initramfs: BootImage | undefined
  readonly commandLine: string
}

const imageOf = (bytes: Uint8Array, source: string): BootImage => ({
  bytes,
  record: { sha256: new Uint8Array(createHash("sha256").update(bytes).digest()), source },
})

const readImage = (
  field: "kernel" | "initramfs",
  source: { readonly path: string } | { readonly bytes: Uint8Array },
): Effect.Effect<BootImage, BootFileUnreadable> => {
  if ("bytes" in source) return Effect.sync(() => imageOf(source.bytes, "bytes"))
  const path = resolve(source.path)
  return Effect.tryPromise({
    try: async () => imageOf(new Uint8Array(await readFile(path)), path),
    catch: (cause) =>
      new BootFileUnreadable({
        message: `${field}: ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
        field,
        path,
        cause,
      }),
  })
}

const readKernel = (source: KernelSource, embedded: EmbeddedGuest | undefined) =>
  source === "embedded"
    ? Effect.sync(() => imageOf(embedded?.kernel ?? new Uint8Array(0), "embedded"))
    : readImage("kernel", source)

const readInitramfs = (source: InitramfsSource, embedded: EmbeddedGuest | undefined) => {
  if (source === "none") return Effect.succeed(undefined)
  if (source === "embedded") return Effect.sync(() => imageOf(embedded?.initramfs ?? new Uint8Array(0), "embedded"))
  return readImage("initramfs", source)
}

/** Checks a configuration and reads the files it names. */
export const prepareBoot = (
  input: MicroVmConfig,
): Effect.Effect<BootPlan, ConfigInvalid | BootFileUnreadable | EmbeddedGuestDamaged> =>
  Effect.gen(function* () {
    const config = yield* Effect.try({
      try: () => decodeConfig(input),
      catch: (error) => error as ConfigInvalid,
    })
    const isEmbedded = config.kernel === "embedded" || config.initramfs === "embedded"
    const embedded = isEmbedded ? yield* loadEmbeddedGuest : undefined
    const defaultLine = config.kernel === "embedded" ? embedded?.commandLine : undefined
    return {
      config,
      memoryBytes: config.memoryMib * MIB,
      kernel: yield* readKernel(config.kernel, embedded),
      initramfs: yield* readInitramfs(config.initramfs, embedded),
      commandLine: config.commandLine ?? defaultLine ?? DEFAULT_COMMAND_LINE,
    }
  })

type LoadError = CommandLineInvalid | InitramfsInvalid | KernelInvalid | MsrRefused

const isLoadError = (error: unknown): error is LoadError =>
  [CommandLineInvalid, InitramfsInvalid, KernelInvalid, MsrRefused].some((known) => error instanceof known)

/** Loads the kernel and sets everything that it finds at its first instruction. Gives what a snapshot keeps of it. */
export const bootMachine = (
  machine: Machine,
  plan: BootPlan,
  host: NativeHostProbe,
): Effect.Effect<MachineState, LoadError | KvmError> =>
  Effect.try({
    try: () => {
      const { config, initramfs } = plan
      const kernel = loadKernel(machine.memory, plan.kernel.bytes, config.bootProtocol)
      const loadedInitramfs = initramfs && loadInitramfs(machine.memory, initramfs.bytes, kernel)
      const slots = machine.virtioMmio
      const commandLine = makeCommandLine(plan.commandLine, config.extraCommandLine, slots, kernel.cmdlineSize)
      writeBootStructures(machine.memory, {
        kernel,
        initramfs: loadedInitramfs,
        commandLine,
        vcpuCount: machine.vcpus,
      })
      setBootState(machine.vm, host, kernel)
      return {
        vcpus: config.vcpus,
        memoryMib: config.memoryMib,
        commandLine,
        ...(config.label === undefined ? {} : { label: config.label }),
        devices: storedDevices(config.devices),
        kernel: plan.kernel.record,
        ...(initramfs === undefined ? {} : { initramfs: initramfs.record }),
      }
    },
    catch: (error) => (isLoadError(error) ? error : toKvmError(error)),
  })
