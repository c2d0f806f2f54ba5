/** Chains of snapshots made by hand: a full one and differences to it, of memory that a test knows page by page. */
import { randomUUID } from "node:crypto"
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { MEMORY_FILE, STATE_FILE } from "../../src/snapshot/bundle/bundle.ts"
import { DIFF_FILE, DIGEST_CHUNK_BYTES, encodeRunTable, runTableBytes } from "../../src/snapshot/runs/memory-diff.ts"
import { PAGE_BYTES, ZEROS } from "../../src/snapshot/runs/runs.ts"
import { componentsOf, decodeEnvelope, encodeEnvelope, readHeader, type Section } from "../../src/state/envelope.ts"
import type { Manifest } from "../../src/state/manifest.ts"
import { sampleManifest, sampleSections } from "../state/samples.ts"

/** What pages of flat memory, by their numbers, are filled with; 0 for zeros. */
export type Pages = ReadonlyMap<number, number>

/** A snapshot made by hand. */
export interface HandMade {
  readonly dir: string
  readonly manifest: Manifest
  readonly sections: readonly Section[]
  /** Of its header. */
  readonly digest: string
  readonly state: Uint8Array
}

export interface HandMadeOptions {
  /** `sampleManifest` without it; memory, type, id and parent are replaced. */
  readonly manifest?: Manifest
  readonly sections?: readonly Section[]
  /** Of format 1, 2 or 3; only a full one can be older. */
  readonly formatVersion?: number
}

/** A page all of one number. */
export const pageOf = (value: number): Uint8Array => new Uint8Array(new Uint32Array(PAGE_BYTES / 4).fill(value).buffer)

/** Regions behind each other in flat memory, the second and each further one 4 GiB above the one before. */
export const regionsOf = (...pages: readonly number[]): Manifest["memory"]["regions"] => {
  let fileOffset = 0
  return pages.map((count, index) => {
    const region = { guestAddress: index * 2 ** 32, size: count * PAGE_BYTES, fileOffset }
    fileOffset += region.size
    return region
  })
}

const bytesOf = (regions: Manifest["memory"]["regions"]): number => regions.reduce((sum, { size }) => sum + size, 0)

const write = (
  dir: string,
  manifest: Manifest,
  sections: readonly Section[],
  formatVersion: number | undefined,
): HandMade => {
  const state = encodeEnvelope({ manifest, sections, ...(formatVersion === undefined ? {} : { formatVersion }) })
  writeFileSync(join(dir, STATE_FILE), state)
  return { dir, manifest, sections, digest: readHeader(state).digest, state }
}

/** A full snapshot. */
export const writeFull = (
  dir: string,
  regions: Manifest["memory"]["regions"],
  pages: Pages,
  options: HandMadeOptions = {},
): HandMade => {
  const { sections = sampleSections() } = options
  const size = bytesOf(regions)
  mkdirSync(dir)
  const fd = openSync(join(dir, MEMORY_FILE), "w")
  ftruncateSync(fd, size)
  for (const [page, value] of pages) writeSync(fd, pageOf(value), 0, PAGE_BYTES, page * PAGE_BYTES)
  closeSync(fd)
  const manifest: Manifest = {
    ...(options.manifest ?? sampleManifest(sections)),
    components: componentsOf(sections),
    id: randomUUID(),
    type: "full",
    parent: null,
    memory: { regions, size, file: { name: MEMORY_FILE, size }, diff: null },
  }
  return write(dir, manifest, sections, options.formatVersion)
}

const upToChunk = (offset: number): number => Math.ceil(offset / DIGEST_CHUNK_BYTES) * DIGEST_CHUNK_BYTES

/** Writes the memory file of a difference, from pages by their numbers. @returns its place in a manifest */
const writeMemory = (path: string, { regions, size }: Manifest["memory"], pages: ReadonlyMap<number, Uint8Array>) => {
  const fd = openSync(path, "w")
  const sorted = [...pages].sort(([a], [b]) => a - b)
  const runs: number[] = []
  let end = 0
  for (const region of regions) {
    end = upToChunk(end)
    for (const [page, bytes] of sorted) {
      const offset = page * PAGE_BYTES
      if (offset < region.fileOffset || offset >= region.fileOffset + region.size) continue
      if (bytes.every((byte) => byte === 0)) {
        runs.push(offset, PAGE_BYTES, ZEROS, 0)
        continue
      }
      writeSync(fd, bytes, 0, PAGE_BYTES, end)
      runs.push(offset, PAGE_BYTES, 0, end)
      end += PAGE_BYTES
    }
  }
  const tableOffset = upToChunk(end)
  writeSync(fd, encodeRunTable(Float64Array.from(runs), size), 0, null, tableOffset)
  closeSync(fd)
  const count = runs.length / 4
  return { diff: { tableOffset, runs: count }, file: { name: DIFF_FILE, size: tableOffset + runTableBytes(count) } }
}

const writeDiffPages = (
  dir: string,
  parent: HandMade,
  pages: ReadonlyMap<number, Uint8Array>,
  { sections, manifest }: Required<Pick<HandMadeOptions, "sections" | "manifest">>,
): HandMade => {
  mkdirSync(dir)
  const memory = { ...manifest.memory, ...writeMemory(join(dir, DIFF_FILE), parent.manifest.memory, pages) }
  const name = dirname(parent.dir) === dirname(dir) ? { name: basename(parent.dir) } : {}
  const child: Manifest = {
    ...manifest,
    components: componentsOf(sections),
    id: randomUUID(),
    type: "diff",
    parent: { id: parent.manifest.id, digest: parent.digest, ...name },
    memory,
  }
  return write(dir, child, sections, undefined)
}

/** A difference to `parent`. */
export const writeDiff = (dir: string, parent: HandMade, pages: Pages, options: HandMadeOptions = {}): HandMade => {
  const { sections = parent.sections, manifest = parent.manifest } = options
  const bytes = new Map([...pages].map(([page, value]) => [page, pageOf(value)]))
  return writeDiffPages(dir, parent, bytes, { sections, manifest })
}

/** A snapshot that was taken of a machine, whatever of a chain can be made with it. */
export const readHandMade = (dir: string): HandMade => {
  const state = new Uint8Array(readFileSync(join(dir, STATE_FILE)))
  const { header, manifest, sections } = decodeEnvelope(state)
  return { dir, manifest, sections, digest: header.digest, state }
}

const PIECE_BYTES = 2 ** 20

/** Pages of two full memory files that differ, as they are in the second. */
const changedPages = (
  before: string,
  after: string,
  ranges: readonly (readonly [offset: number, bytes: number])[],
): ReadonlyMap<number, Uint8Array> => {
  const fds = [before, after].map((path) => openSync(path, "r")) as [number, number]
  const changed = new Map<number, Uint8Array>()
  for (const [offset, bytes] of ranges) {
    for (let at = offset; at < offset + bytes; at += PIECE_BYTES) {
      const [old, now] = fds.map((fd) => {
        const piece = new Uint8Array(Math.min(PIECE_BYTES, offset + bytes - at))
        readSync(fd, piece, 0, piece.length, at)
        return piece
      }) as [Uint8Array, Uint8Array]
      for (let page = 0; page < now.length; page += PAGE_BYTES) {
        const content = now.subarray(page, page + PAGE_BYTES)
        if (Buffer.compare(content, old.subarray(page, page + PAGE_BYTES)) !== 0) {
          changed.set((at + page) / PAGE_BYTES, content.slice())
        }
      }
    }
  }
  for (const fd of fds) closeSync(fd)
  return changed
}

/**
 * What a full snapshot of a machine changed since another one, as a difference to that.
 * @param before the memory of `parent`, which may itself be a difference, in a full one
 * @param ranges of flat memory that may have changed; all of it without them
 */
export const writeDiffOf = (
  dir: string,
  parent: HandMade,
  before: HandMade,
  after: HandMade,
  ranges: readonly (readonly [offset: number, bytes: number])[] = [[0, after.manifest.memory.size]],
): HandMade => {
  const pages = changedPages(join(before.dir, MEMORY_FILE), join(after.dir, MEMORY_FILE), ranges)
  return writeDiffPages(dir, parent, pages, after)
}

/** The memory that snapshots of these pages make up, the oldest first. */
export const flatMemory = (regions: Manifest["memory"]["regions"], layers: readonly Pages[]): Uint8Array => {
  const bytes = new Uint8Array(bytesOf(regions))
  for (const pages of layers) for (const [page, value] of pages) bytes.set(pageOf(value), page * PAGE_BYTES)
  return bytes
}
