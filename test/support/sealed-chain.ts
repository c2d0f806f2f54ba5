/**
 * Chains made by hand (`diff-chain.ts`) with the state of a real machine, which was frozen, and with digests of their
 * memory.
 */
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { loadNative } from "../../src/native.ts"
import { STATE_FILE } from "../../src/snapshot/bundle/bundle.ts"
import { DIGEST_CHUNK_BYTES } from "../../src/snapshot/runs/memory-diff.ts"
import { decodeEnvelope, encodeEnvelope, readHeader } from "../../src/state/envelope.ts"
import { type HandMade, type HandMadeOptions, type Pages, writeDiff, writeFull } from "./diff-chain.ts"
import { snapshotsDir } from "./frozen.ts"

/** Manifest and sections of a machine with two vCPUs and 32 MiB of memory. */
export const frozenMachine = decodeEnvelope(
  new Uint8Array(readFileSync(join(snapshotsDir, "1/host-profile/state.cryo"))),
)

export const { regions } = frozenMachine.manifest.memory

/** Puts the digests of its memory into a snapshot's state, which gives it another identity: before it has children. */
export const seal = async (snapshot: HandMade): Promise<HandMade> => {
  const { dir, manifest, sections } = snapshot
  const fd = openSync(join(dir, manifest.memory.file.name), "r")
  const digests = await loadNative().digestFile(fd, 0, manifest.memory.file.size, DIGEST_CHUNK_BYTES).done
  closeSync(fd)
  const memoryDigests = { algorithm: "xxh3-128-pages", chunkBytes: DIGEST_CHUNK_BYTES, digests } as const
  const state = encodeEnvelope({ manifest, sections, memoryDigests })
  writeFileSync(join(dir, STATE_FILE), state)
  return { ...snapshot, state, digest: readHeader(state).digest }
}

const { manifest, sections } = frozenMachine

/** A full snapshot of the frozen machine, with digests. */
export const sealedFull = (dir: string, pages: Pages, options?: HandMadeOptions): Promise<HandMade> =>
  seal(writeFull(dir, regions, pages, { manifest, sections, ...options }))

/** A difference to one, with digests. */
export const sealedDiff = (dir: string, parent: HandMade, pages: Pages, options?: HandMadeOptions): Promise<HandMade> =>
  seal(writeDiff(dir, parent, pages, options))

/** Turns one bit of a file around; a second time puts it back. */
export const flipBit = (path: string, byte: number, bit: number): void => {
  const bytes = readFileSync(path)
  bytes[byte]! ^= 1 << bit
  writeFileSync(path, bytes)
}
