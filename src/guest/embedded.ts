/**
 * The guest that comes with the package: kernel and initramfs, compressed, described by `guest.json`.
 */

import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { brotliDecompress } from "node:zlib"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { readJson } from "fs-extra/esm"

/** The files of the embedded guest are missing or damaged. */
export class EmbeddedGuestDamaged extends Data.TaggedError("EmbeddedGuestDamaged")<{
  readonly message: string
  readonly path: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_EMBEDDED_GUEST_DAMAGED"
}

interface PackedFile {
  readonly file: string
  readonly size: number
  readonly sha256: string
}

interface EmbeddedDescription {
  readonly kernelVersion: string
  readonly kernel: PackedFile
  readonly initramfs: PackedFile
  readonly commandLine: string
}

export interface EmbeddedGuest {
  readonly kernelVersion: string
  /** ELF `vmlinux`. */
  readonly kernel: Uint8Array
  /** cpio archive, not compressed: unpacking in the guest would be slow. */
  readonly initramfs: Uint8Array
  readonly commandLine: string
}

const decompress = promisify(brotliDecompress)
const pathOf = (file: string): string => fileURLToPath(new URL(`../../../fixtures/guest/${file}`, import.meta.url))

const damaged = (path: string, cause: unknown): EmbeddedGuestDamaged =>
  new EmbeddedGuestDamaged({
    message: `the embedded guest's ${path} cannot be used (${cause instanceof Error ? cause.message : String(cause)}); install the package again`,
    path,
    cause,
  })

const unpack = async (packed: PackedFile): Promise<Uint8Array> => {
  const bytes = await decompress(await readFile(pathOf(packed.file)), { maxOutputLength: packed.size })
  if (createHash("sha256").update(bytes).digest("hex") !== packed.sha256) throw new Error("its SHA-256 is wrong")
  return bytes
}

const attempt = <A>(file: string, work: () => Promise<A>): Effect.Effect<A, EmbeddedGuestDamaged> =>
  Effect.tryPromise({ try: work, catch: (cause) => damaged(file, cause) })

/** Reads and unpacks the embedded guest; about 60 ms. */
export const loadEmbeddedGuest: Effect.Effect<EmbeddedGuest, EmbeddedGuestDamaged> = Effect.gen(function* () {
  const description = yield* attempt(
    "guest.json",
    async () => (await readJson(pathOf("guest.json"))) as EmbeddedDescription,
  )
  const [kernel, initramfs] = yield* Effect.all(
    [
      attempt(description.kernel.file, () => unpack(description.kernel)),
      attempt(description.initramfs.file, () => unpack(description.initramfs)),
    ],
    { concurrency: "unbounded" },
  )
  return { kernelVersion: description.kernelVersion, kernel, initramfs, commandLine: description.commandLine }
})
