import { closeSync, openSync, rmSync } from "node:fs"
import { join } from "node:path"
import { DIGEST_CHUNK_BYTES } from "../../src/snapshot/runs/memory-diff.ts"
import { writeDataFile } from "../data-file.ts"
import { MEBIBYTE } from "../pages.ts"
import { type Context, now, type Scenario } from "../scenario.ts"

const pathIn = ({ folder }: Context): string => join(folder, "verify.img")

/** The first four bytes of every digest, little endian, combined by "exclusive or"; as in floor/digest.c. */
const fingerprint = (digests: Uint8Array): number => {
  const view = new DataView(digests.buffer, digests.byteOffset, digests.byteLength)
  let all = 0
  for (let at = 0; at < digests.length; at += 16) all ^= view.getUint32(at, true)
  return all >>> 0
}

/** What the C program computed last: both have to come to the same. */
let floorFingerprint: number | undefined

export const verify: Scenario = {
  name: "verify",
  description: "the digests of a memory file without a hole, in the page cache; GB/s of the file",
  bytes: ({ memoryMib }) => ({ digest: memoryMib * MEBIBYTE }),
  prepare: async (context) => {
    writeDataFile(pathIn(context), context.memoryMib * MEBIBYTE)
  },
  run: async (context) => {
    const fd = openSync(pathIn(context), "r")
    const start = now()
    const digests = await context.native.digestFile(fd, 0, context.memoryMib * MEBIBYTE, DIGEST_CHUNK_BYTES).done
    const took = now() - start
    closeSync(fd)
    if (fingerprint(digests) !== floorFingerprint) throw new Error("the C program computes other digests")
    return { digest: took }
  },
  runFloor: async (context) => {
    const mebibytes = DIGEST_CHUNK_BYTES / MEBIBYTE
    const { all, ...steps } = await context.floor.measure("digest", pathIn(context), mebibytes)
    floorFingerprint = all
    return steps
  },
  finish: async (context) => {
    rmSync(pathIn(context), { force: true })
  },
}
