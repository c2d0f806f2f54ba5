import { closeSync, openSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { NativeAddon, NativeMemorySource } from "../../src/native.ts"
import { settle } from "../pages.ts"
import { now, type Scenario } from "../scenario.ts"

const page = 4096
const mebibyte = 1024 * 1024
const memoryBytes = 128 * mebibyte

/** As in floor/discard.c. */
const patterns = [
  { name: "64 MiB", count: 1, length: 64 * mebibyte, stride: 64 * mebibyte },
  { name: "32 x 2 MiB", count: 32, length: 2 * mebibyte, stride: 4 * mebibyte },
  { name: "1,000 pages", count: 1000, length: page, stride: 2 * page },
]

const discardOnce = async (
  native: NativeAddon,
  source: NativeMemorySource,
  { count, length, stride }: (typeof patterns)[0],
) => {
  const memory = native.mapMemory(memoryBytes, source)
  const bytes = new Uint8Array(memory.window(0, memoryBytes))
  const ranges = new Float64Array(2 * count)
  for (let index = 0; index < count; index++) {
    bytes.fill(0xa5, index * stride, index * stride + length)
    ranges[2 * index] = index * stride
    ranges[2 * index + 1] = length
  }
  await settle()
  const start = now()
  const { discardedBytes } = memory.discard(ranges)
  const took = now() - start
  memory.close()
  if (discardedBytes !== count * length) throw new Error(`${discardedBytes} bytes given back of ${count * length}`)
  return took
}

const fileIn = (folder: string) => join(folder, "discard.img")

export const discard: Scenario = {
  name: "discard",
  description: "touched memory given back to the host: anonymous (fresh), and restored from a file of data",
  targets: { "fresh 64 MiB": 1.5, "file 64 MiB": 1.5, "fresh 32 x 2 MiB": 1.5, "file 32 x 2 MiB": 1.5 },
  prepare: async ({ folder }) => {
    writeFileSync(fileIn(folder), Buffer.alloc(memoryBytes, 0x5a))
  },
  run: async ({ native, folder }) => {
    const fd = openSync(fileIn(folder), "r")
    try {
      const kinds = { fresh: { kind: "anonymous" }, file: { kind: "file", fd, offset: 0 } } as const
      const steps: Record<string, number> = {}
      for (const pattern of patterns) {
        for (const [kind, source] of Object.entries(kinds)) {
          steps[`${kind} ${pattern.name}`] = await discardOnce(native, source, pattern)
        }
      }
      return steps
    } finally {
      closeSync(fd)
    }
  },
  runFloor: ({ floor, folder }) => floor.measure("discard", fileIn(folder)),
  finish: async ({ folder }) => {
    rmSync(fileIn(folder), { force: true })
  },
}
