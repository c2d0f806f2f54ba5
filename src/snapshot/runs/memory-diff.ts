/**
 * `memory.diff`, the memory of a diff snapshot: the pages that changed since the parent, packed, and a table of the
 * runs that they make up in flat memory. The table is written last, as it is only known then.
 *
 * ```
 *      0   pages of the first region that changed, one behind the other
 *          pages of each further region, from a multiple of 1 MiB on; what is in between is a hole
 *          the table, from a multiple of 1 MiB on (`memory.diff.tableOffset` of the manifest), little endian:
 *   0   8  magic: 89 'C' 'R' 'U' 0D 0A 1A 0A
 *   8   4  version of the table, 1
 *  12   4  bytes of a page, 4,096
 *  16   8  number of runs
 *  24   8  bytes of flat memory
 *  32      the runs, ascending and apart, 24 bytes each:
 *            0   8  offset in flat memory
 *            8   8  offset in this file; 0 for zeros
 *           16   4  pages
 *           20   4  kind: 0 for pages in this file, 1 for zeros, which take no room in it
 *          zeros up to a whole page, which is the end of the file
 * ```
 */
import * as Data from "effect/Data"
import type { NativeRuns } from "../../native.ts"
import { PAGE_BYTES, RUN_NUMBERS, ZEROS } from "./runs.ts"

/** Name of a diff snapshot's memory file in a bundle. */
export const DIFF_FILE = "memory.diff"

/** Memory has a digest for each part of this size; every region's pages and the table begin at a multiple of it. */
export const DIGEST_CHUNK_BYTES = 2 ** 20

/** Most runs of a table, and of all tables of a chain: 512 MiB where they are held in memory. */
export const MAXIMUM_RUNS = 2 ** 24

const MAGIC = Uint8Array.of(0x89, 0x43, 0x52, 0x55, 0x0d, 0x0a, 0x1a, 0x0a)
const TABLE_VERSION = 1
const HEADER_BYTES = 32
const RUN_BYTES = 24
const RUN_WORDS = RUN_BYTES / 4
const OFFSET = { version: 8, pageBytes: 12, runs: 16, memoryBytes: 24 } as const
const KIND = { data: 0, zeros: 1 } as const
const WORD = 2 ** 32

/** The memory file of a diff snapshot is not what such a file can be. */
export class MemoryDiffInvalid extends Data.TaggedError("MemoryDiffInvalid")<{
  readonly message: string
  readonly path: string
}> {
  readonly code = "CRYOVM_MEMORY_DIFF_INVALID"
}

const REMEDY = "copy the snapshot again, or take it anew"

const invalid = (path: string, what: string, remedy: string = REMEDY): MemoryDiffInvalid =>
  new MemoryDiffInvalid({ message: `${path} cannot be used: ${what}; ${remedy}`, path })

/** Where a table is, and how long it has to be, as the manifest tells. */
export interface RunTableLayout {
  /** Bytes of flat memory. */
  readonly memoryBytes: number
  /** Where the table begins in the file: packed pages end before. */
  readonly tableOffset: number
  /** Number of runs. */
  readonly runs: number
}

/** Bytes of a table of so many runs, up to the end of the file. */
export const runTableBytes = (runs: number): number =>
  Math.ceil((HEADER_BYTES + runs * RUN_BYTES) / PAGE_BYTES) * PAGE_BYTES

/** By a division, for every run is asked: the remainder of such large numbers is a call, a third of reading a table. */
const isWhole = (bytes: number): boolean =>
  Number.isSafeInteger(bytes) && bytes >= 0 && Math.floor(bytes / PAGE_BYTES) * PAGE_BYTES === bytes

/**
 * Checks what a manifest says of a table, before anything is read or allocated for it.
 * @param path of the memory file, for the error
 * @throws MemoryDiffInvalid
 */
export const checkRunTableLayout = (
  { memoryBytes, tableOffset, runs }: RunTableLayout,
  fileBytes: number,
  path: string = DIFF_FILE,
): void => {
  if (!isWhole(memoryBytes)) throw invalid(path, `${memoryBytes} bytes of memory are no whole pages`)
  if (!(isWhole(tableOffset) && tableOffset % DIGEST_CHUNK_BYTES === 0)) {
    throw invalid(path, `its table of runs begins at ${tableOffset}, which is no multiple of ${DIGEST_CHUNK_BYTES}`)
  }
  if (!(Number.isSafeInteger(runs) && runs >= 0 && runs <= memoryBytes / PAGE_BYTES)) {
    throw invalid(path, `${runs} runs are not possible in ${memoryBytes} bytes of memory`)
  }
  if (runs > MAXIMUM_RUNS) throw invalid(path, `it has ${runs} runs, and at most ${MAXIMUM_RUNS} are read`)
  const expected = tableOffset + runTableBytes(runs)
  if (fileBytes !== expected) throw invalid(path, `with ${runs} runs it has ${expected} bytes, not ${fileBytes}`)
}

/** What is wrong with a run, where anything is. */
const faultOf = (
  offset: number,
  bytes: number,
  file: number,
  fileOffset: number,
  limits: { readonly from: number; readonly memoryBytes: number; readonly dataBytes: number },
): string | undefined => {
  if (!isWhole(offset) || !isWhole(bytes) || bytes === 0) return "is not of whole pages"
  if (offset < limits.from) return "begins before the end of the one in front of it"
  if (offset + bytes > limits.memoryBytes) return "ends behind the end of memory"
  if (file === ZEROS) return fileOffset === 0 ? undefined : "is of zeros and has a place in the file"
  if (file !== 0) return "is in another file"
  if (!isWhole(fileOffset)) return "is not at a page of the file"
  if (fileOffset + bytes > limits.dataBytes) return "is not in the part of the file that holds pages"
  return undefined
}

/** @throws MemoryDiffInvalid */
const checkRuns = (runs: NativeRuns, memoryBytes: number, dataBytes: number, path: string): void => {
  const limits = { from: 0, memoryBytes, dataBytes }
  for (let at = 0; at < runs.length; at += RUN_NUMBERS) {
    const offset = runs[at] as number
    const bytes = runs[at + 1] as number
    const fault = faultOf(offset, bytes, runs[at + 2] as number, runs[at + 3] as number, limits)
    if (fault !== undefined) throw invalid(path, `run ${at / RUN_NUMBERS} (${bytes} bytes at ${offset}) ${fault}`)
    limits.from = offset + bytes
  }
}

/** The table as 32-bit words: x86 is little endian, as the table is. */
const wordsOf = (bytes: Uint8Array): Uint32Array => {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
}

/**
 * The table of a memory file, from `tableOffset` to the end of the file.
 * @param runs in flat memory, of file 0 and of zeros
 * @param memoryBytes of flat memory
 * @throws MemoryDiffInvalid
 */
export const encodeRunTable = (runs: NativeRuns, memoryBytes: number): Uint8Array => {
  checkRuns(runs, memoryBytes, Number.MAX_SAFE_INTEGER, DIFF_FILE)
  const count = runs.length / RUN_NUMBERS
  if (count > MAXIMUM_RUNS) {
    throw invalid(
      DIFF_FILE,
      `memory changed in ${count} runs, and ${MAXIMUM_RUNS} are possible`,
      "take a full snapshot",
    )
  }
  const table = new Uint8Array(runTableBytes(count))
  const view = new DataView(table.buffer)
  table.set(MAGIC)
  view.setUint32(OFFSET.version, TABLE_VERSION, true)
  view.setUint32(OFFSET.pageBytes, PAGE_BYTES, true)
  view.setBigUint64(OFFSET.runs, BigInt(count), true)
  view.setBigUint64(OFFSET.memoryBytes, BigInt(memoryBytes), true)
  const words = wordsOf(table)
  let to = HEADER_BYTES / 4
  for (let at = 0; at < runs.length; at += RUN_NUMBERS) {
    const offset = runs[at] as number
    const pages = (runs[at + 1] as number) / PAGE_BYTES
    const fileOffset = runs[at + 3] as number
    if (pages >= WORD) throw invalid(DIFF_FILE, `a run of ${pages} pages has no place in its table`)
    // A typed array keeps the low 32 bits of what is stored.
    words[to] = offset
    words[to + 1] = offset / WORD
    words[to + 2] = fileOffset
    words[to + 3] = fileOffset / WORD
    words[to + 4] = pages
    words[to + 5] = runs[at + 2] === ZEROS ? KIND.zeros : KIND.data
    to += RUN_WORDS
  }
  return table
}

const checkHeader = (bytes: Uint8Array, { memoryBytes, runs }: RunTableLayout, path: string): void => {
  if (!MAGIC.every((byte, index) => bytes[index] === byte)) throw invalid(path, "where its table should be is none")
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const version = view.getUint32(OFFSET.version, true)
  if (version !== TABLE_VERSION) {
    throw invalid(path, `its table is of version ${version}, not ${TABLE_VERSION}`, "use a newer cryovm")
  }
  const pageBytes = view.getUint32(OFFSET.pageBytes, true)
  if (pageBytes !== PAGE_BYTES) throw invalid(path, `its pages have ${pageBytes} bytes, not ${PAGE_BYTES}`)
  const count = view.getBigUint64(OFFSET.runs, true)
  if (count !== BigInt(runs)) throw invalid(path, `its table has ${count} runs, and the manifest tells of ${runs}`)
  const size = view.getBigUint64(OFFSET.memoryBytes, true)
  if (size !== BigInt(memoryBytes)) {
    throw invalid(path, `it is of ${size} bytes of memory, and the manifest tells of ${memoryBytes}`)
  }
}

/**
 * Reads a table that may have come from anywhere.
 * @param bytes from `tableOffset` to the end of the file
 * @param path of the file, for the error
 * @returns runs in flat memory, of file 0 and of zeros
 * @throws MemoryDiffInvalid
 */
export const decodeRunTable = (bytes: Uint8Array, layout: RunTableLayout, path: string = DIFF_FILE): NativeRuns => {
  const { memoryBytes, tableOffset, runs: count } = layout
  checkRunTableLayout(layout, tableOffset + bytes.length, path)
  checkHeader(bytes, layout, path)
  const words = wordsOf(bytes)
  const runs = new Float64Array(count * RUN_NUMBERS)
  let from = HEADER_BYTES / 4
  for (let at = 0; at < runs.length; at += RUN_NUMBERS) {
    const kind = words[from + 5] as number
    if (kind !== KIND.data && kind !== KIND.zeros) throw invalid(path, `run ${at / RUN_NUMBERS} is of kind ${kind}`)
    // Inexact beyond 2^53, which is beyond any memory or file.
    runs[at] = (words[from] as number) + (words[from + 1] as number) * WORD
    runs[at + 1] = (words[from + 4] as number) * PAGE_BYTES
    runs[at + 2] = kind === KIND.zeros ? ZEROS : 0
    runs[at + 3] = (words[from + 2] as number) + (words[from + 3] as number) * WORD
    from += RUN_WORDS
  }
  if (words.subarray(from).some((word) => word !== 0)) throw invalid(path, "there is something behind its last run")
  checkRuns(runs, memoryBytes, tableOffset, path)
  return runs
}
