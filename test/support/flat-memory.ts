/**
 * The memory of a snapshot and what a diff says of it, put together here from the files alone, page by page: what restores
 * are held against. Parents are looked for beside.
 */
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as Effect from "effect/Effect"
import { readManifest } from "../../src/snapshot/bundle/bundle.ts"
import { decodeRunTable } from "../../src/snapshot/runs/memory-diff.ts"
import { PAGE_BYTES, ZEROS } from "../../src/snapshot/runs/runs.ts"
import type { Manifest } from "../../src/state/manifest.ts"
import { listOf, type Run } from "./runs.ts"

const manifestOf = (dir: string): Promise<Manifest> => Effect.runPromise(readManifest(dir))

const runsOf = ({ memory: { diff, file, size } }: Manifest, bytes: Uint8Array): readonly Run[] => {
  if (diff === null) throw new Error(`${file.name} is no diff`)
  return listOf(decodeRunTable(bytes.subarray(diff.tableOffset), { ...diff, memoryBytes: size }))
}

/** All of it, region behind region. */
export const flatMemoryOf = async (dir: string): Promise<Uint8Array> => {
  const manifest = await manifestOf(dir)
  const bytes = readFileSync(join(dir, manifest.memory.file.name))
  if (manifest.parent === null) return bytes
  const memory = await flatMemoryOf(join(dirname(dir), manifest.parent.name ?? "elsewhere"))
  for (const run of runsOf(manifest, bytes)) {
    const to = memory.subarray(run.offset, run.offset + run.bytes)
    if (run.file === ZEROS) to.fill(0)
    else to.set(bytes.subarray(run.fileOffset, run.fileOffset + run.bytes))
  }
  return memory
}

/** The addresses in flat memory of the pages that a diff holds, and of those that it says are zero. */
export const pagesOfDiff = async (
  dir: string,
): Promise<{ readonly held: readonly number[]; readonly zero: readonly number[] }> => {
  const manifest = await manifestOf(dir)
  const runs = runsOf(manifest, readFileSync(join(dir, manifest.memory.file.name)))
  const pages = (wanted: (run: Run) => boolean) =>
    runs
      .filter(wanted)
      .flatMap(({ offset, bytes }) =>
        Array.from({ length: bytes / PAGE_BYTES }, (_, index) => offset + index * PAGE_BYTES),
      )
  return { held: pages(({ file }) => file !== ZEROS), zero: pages(({ file }) => file === ZEROS) }
}

/** Addresses of the pages that differ. */
export const differingPages = (one: Uint8Array, other: Uint8Array): readonly number[] =>
  Array.from({ length: Math.max(one.length, other.length) / PAGE_BYTES }, (_, page) => page * PAGE_BYTES).filter(
    (at) => Buffer.compare(one.subarray(at, at + PAGE_BYTES), other.subarray(at, at + PAGE_BYTES)) !== 0,
  )
