import { closeSync, openSync, rmSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import type { NativeCandidates, NativeMemory } from "../../src/native.ts"
import { DIGEST_CHUNK_BYTES } from "../../src/snapshot/runs/memory-diff.ts"
import { PAGE_BYTES } from "../../src/snapshot/runs/runs.ts"
import { writeDataFile } from "../data-file.ts"
import { bitmapOf, chosenPages, fill, MEBIBYTE, settle, touch } from "../pages.ts"
import { type Context, now, type Scenario } from "../scenario.ts"

const percents = [1, 10, 50]

const pagesOf = ({ memoryMib }: Context): number => (memoryMib * MEBIBYTE) / PAGE_BYTES

/** Names of the steps: those of the floor are the bare numbers. */
const stepOf = (percent: number): string => `${percent} %`
const withDigests = (percent: number): string => `${percent} %, digests`

const comparedWith = Object.fromEntries(
  percents.flatMap((percent) => [
    [stepOf(percent), String(percent)],
    [withDigests(percent), String(percent)],
  ]),
)

const bytes = (context: Context) =>
  Object.fromEntries(
    percents.flatMap((percent) => {
      const chosen = chosenPages(pagesOf(context), percent).length * PAGE_BYTES
      return [
        [stepOf(percent), chosen],
        [withDigests(percent), chosen],
      ]
    }),
  )

/** How long it takes to write what changed, which has to be `pages` pages. */
const timeDiff = async (
  { folder }: Context,
  memory: NativeMemory,
  candidates: NativeCandidates,
  pages: number,
  chunkBytes?: number,
): Promise<number> => {
  const path = join(folder, "memory.diff")
  const file = openSync(path, "w+")
  const options = chunkBytes === undefined ? { candidates } : { candidates, chunkBytes }
  const start = now()
  const { writtenBytes } = await memory.dumpDiff(file, 0, options).done
  const took = now() - start
  closeSync(file)
  unlinkSync(path)
  if (writtenBytes !== pages * PAGE_BYTES) throw new Error(`${writtenBytes} bytes written of ${pages} pages`)
  return took
}

export const diff: Scenario = {
  name: "diff",
  description: "single pages, evenly spread, told by a bitmap, packed into a file; GB/s of these pages",
  comparedWith,
  bytes,
  run: async (context) => {
    const pages = pagesOf(context)
    const memory = context.native.mapMemory(pages * PAGE_BYTES, { kind: "anonymous" })
    fill(memory, 0, memory.size, 0xa5)
    await settle()
    const steps: Record<string, number> = {}
    for (const percent of percents) {
      const chosen = chosenPages(pages, percent)
      const bitmap = bitmapOf(pages, chosen)
      steps[stepOf(percent)] = await timeDiff(context, memory, bitmap, chosen.length)
      steps[withDigests(percent)] = await timeDiff(context, memory, bitmap, chosen.length, DIGEST_CHUNK_BYTES)
    }
    memory.close()
    return steps
  },
  runFloor: ({ floor, folder, memoryMib }) => floor.measure("diff", join(folder, "floor.diff"), memoryMib, ...percents),
}

const sourceIn = ({ folder }: Context): string => join(folder, "written.img")

export const written: Scenario = {
  name: "written",
  description:
    "single pages, evenly spread, found as what a restored guest has written, packed into a file; GB/s of these",
  comparedWith,
  bytes,
  prepare: async (context) => {
    writeDataFile(sourceIn(context), pagesOf(context) * PAGE_BYTES)
  },
  run: async (context) => {
    const pages = pagesOf(context)
    const fd = openSync(sourceIn(context), "r")
    const steps: Record<string, number> = {}
    for (const percent of percents) {
      const chosen = chosenPages(pages, percent)
      const memory = context.native.mapMemory(pages * PAGE_BYTES, { kind: "file", fd, offset: 0 })
      touch(memory, chosen, 1)
      await settle()
      steps[stepOf(percent)] = await timeDiff(context, memory, "written", chosen.length)
      steps[withDigests(percent)] = await timeDiff(context, memory, "written", chosen.length, DIGEST_CHUNK_BYTES)
      memory.close()
    }
    closeSync(fd)
    return steps
  },
  runFloor: (context) =>
    context.floor.measure(
      "written",
      sourceIn(context),
      join(context.folder, "floor.diff"),
      context.memoryMib,
      ...percents,
    ),
  finish: async (context) => {
    rmSync(sourceIn(context), { force: true })
  },
}
