import { stripVTControlCharacters } from "node:util"

const widthOf = (cell: string): number => stripVTControlCharacters(cell).length

/**
 * Rows as lines with their columns aligned, two spaces apart.
 * @param rightAligned indices of the columns that hold numbers
 */
export const table = (
  rows: readonly (readonly string[])[],
  rightAligned: readonly number[] = [],
): readonly string[] => {
  const columns = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: columns }, (_, index) =>
    Math.max(...rows.map((row) => widthOf(row[index] ?? ""))),
  )
  const pad = (cell: string, index: number): string => {
    const padding = " ".repeat((widths[index] ?? 0) - widthOf(cell))
    return rightAligned.includes(index) ? padding + cell : cell + padding
  }
  return rows.map((row) => row.map(pad).join("  ").trimEnd())
}

/** A table's lines behind each other, each indented. */
export const indented = (lines: readonly string[], indent = "  "): string =>
  lines.map((line) => `${indent}${line}\n`).join("")
