/** What is true of a file, on this host. */
import type { Stats } from "node:fs"

/** A file that was looked for: what it is, or that it is not there. */
export type FileFact = { readonly size: number; readonly modified: string } | "missing"

export const factOf = ({ size, mtime }: Stats): FileFact => ({ size, modified: mtime.toISOString() })
