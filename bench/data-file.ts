/** Memory files without a hole. */
import { closeSync, openSync, writeSync } from "node:fs"
import { PAGE_BYTES } from "../src/snapshot/runs/runs.ts"
import { MEBIBYTE } from "./pages.ts"

const PIECE_BYTES = 4 * MEBIBYTE

/** Writes whole pages of data, no two alike; left in the page cache. */
export const writeDataFile = (path: string, bytes: number): void => {
  const piece = new Uint8Array(Math.min(bytes, PIECE_BYTES)).fill(0xa5)
  const view = new DataView(piece.buffer)
  const file = openSync(path, "w")
  for (let at = 0; at < bytes; at += piece.length) {
    const length = Math.min(bytes - at, piece.length)
    for (let page = 0; page < length; page += PAGE_BYTES) view.setUint32(page, (at + page) / PAGE_BYTES, true)
    writeSync(file, piece, 0, length)
  }
  closeSync(file)
}
