/** Runs of pages as the native layer takes and gives them (`NativeRuns`), by their parts. */

export { PAGE_BYTES } from "../../memory/page-bitmap.ts"

/** Numbers of one run: offset, bytes, file, offset in the file. */
export const RUN_NUMBERS = 4

/** In the place of a file: the run is of zeros. */
export const ZEROS = -1
