/** Which pages of guest memory a measurement chooses, and what is in them. */
import { setTimeout as sleep } from "node:timers/promises"
import type { NativeMemory } from "../src/native.ts"
import { PAGE_BYTES } from "../src/snapshot/runs/runs.ts"

export const MEBIBYTE = 2 ** 20

/** Windows of this size, because V8 takes what is in a window for memory of its own. */
const WINDOW_BYTES = 64 * MEBIBYTE

/** Pages of the first `pages` that are among `percent` of a hundred, evenly spread; as in floor/pages.h. */
export const chosenPages = (pages: number, percent: number): readonly number[] =>
  Array.from({ length: pages }, (_, page) => page).filter((page) => (page * percent) % 100 < percent)

/** One bit a page, little endian, in whole 64-bit words. */
export const bitmapOf = (pages: number, chosen: readonly number[]): Uint8Array => {
  const bitmap = new Uint8Array(Math.ceil(pages / 64) * 8)
  for (const page of chosen) bitmap[page >>> 3]! |= 1 << (page & 7)
  return bitmap
}

/** Fills memory from `from` to `to`, in bytes. */
export const fill = (memory: NativeMemory, from: number, to: number, value: number): void => {
  for (let at = from; at < to; at += WINDOW_BYTES) {
    new Uint8Array(memory.window(at, Math.min(WINDOW_BYTES, to - at))).fill(value)
  }
}

/** Writes a byte into each of these pages, ascending. */
export const touch = (memory: NativeMemory, pages: readonly number[], value: number): void => {
  let start = 0
  let window = new Uint8Array(0)
  for (const page of pages) {
    const at = page * PAGE_BYTES
    if (at >= start + window.length) {
      start = at
      window = new Uint8Array(memory.window(start, Math.min(WINDOW_BYTES, memory.size - start)))
    }
    window[at - start] = value
  }
}

/**
 * Waits, after windows were filled, before something is measured: they make V8 collect garbage, and while its threads
 * run, they take a processor, and each page given back interrupts it.
 */
export const settle = (): Promise<void> => sleep(20)
