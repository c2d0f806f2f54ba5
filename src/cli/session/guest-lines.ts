/** What a line typed into the line shell asks for. */

export type Line =
  | { readonly type: "empty" }
  | { readonly type: "run"; readonly command: string }
  /** Another working directory for the lines after it. */
  | { readonly type: "directory"; readonly command: string }
  | { readonly type: "exit"; readonly code: number | undefined }
  | { readonly type: "snapshot"; readonly dir: string | undefined }
  | { readonly type: "help" }
  | { readonly type: "unknown"; readonly name: string }

/** A `cd` that stands alone: with operators or several words behind it, it is the guest's shell that knows. */
const ALONE = /^cd(\s+[^;&|<>()`$\s]+|\s+'[^']*'|\s+"[^"$`\\]*")?$/

export const parseLine = (text: string): Line => {
  const line = text.trim()
  if (line === "") return { type: "empty" }
  const exit = /^exit(?:\s+(\d{1,3}))?$/.exec(line)
  if (exit !== null) return { type: "exit", code: exit[1] === undefined ? undefined : Number(exit[1]) & 0xff }
  if (ALONE.test(line)) return { type: "directory", command: line }
  if (!line.startsWith(":")) return { type: "run", command: line }
  const [name = "", ...words] = line.slice(1).split(/\s+/)
  if (name === "help") return { type: "help" }
  if (name === "exit" || name === "quit") return { type: "exit", code: undefined }
  if (name === "snapshot") return { type: "snapshot", dir: words.length === 0 ? undefined : words.join(" ") }
  // ":" is a command of every shell, and so is ": > file".
  return name === "" ? { type: "run", command: line } : { type: "unknown", name }
}
