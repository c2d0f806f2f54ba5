/** `cryovm snapshot tree`: which snapshots are in a folder, and which is a difference to which. */
import { basename, resolve } from "node:path"
import type { Command } from "commander"
import type { LineageNode } from "../../../index.ts"
import type { CliContext } from "../../context.ts"
import { addCommonOptions, type CommonOptions } from "../../options.ts"
import { formatAge, formatBytes } from "../../output/format.ts"
import { printJson } from "../../output/json.ts"
import { indented, table } from "../../output/table.ts"
import { type Paint, painter, printable } from "../../output/terminal.ts"

/** A snapshot, and what is drawn to the left of its name and of the lines below it. */
interface Line {
  readonly node: LineageNode
  readonly branch: string
  readonly below: string
}

function* linesOf(nodes: readonly LineageNode[], indent: string, isTop: boolean): Generator<Line> {
  for (const [index, node] of nodes.entries()) {
    const isLast = index === nodes.length - 1
    const branch = isTop ? "" : `${indent}${isLast ? "└─ " : "├─ "}`
    const below = isTop ? "" : `${indent}${isLast ? "   " : "│  "}`
    yield { node, branch, below: node.children.length > 0 ? `${below}│  ` : `${below}   ` }
    yield* linesOf(node.children, below, false)
  }
}

const signOf = ({ problem }: LineageNode, paint: Paint): string => {
  if (problem === undefined) return ""
  return problem.part === "parent" ? paint("yellow", "ORPHAN") : paint("red", "DAMAGED")
}

const rowOf = ({ node, branch }: Line, now: number, paint: Paint): readonly string[] => {
  const { dir, type, label, createdAt, diskBytes } = node
  return [
    `${paint("dim", branch)}${paint("bold", printable(basename(dir)))}`,
    type ?? "?",
    label === null ? "" : printable(JSON.stringify(label)),
    createdAt === null ? "" : formatAge(now - Date.parse(createdAt)),
    formatBytes(diskBytes.state),
    formatBytes(diskBytes.memory),
    signOf(node, paint),
  ]
}

const HEAD = ["SNAPSHOT", "TYPE", "LABEL", "AGE", "STATE", "MEMORY"]

const draw = (nodes: readonly LineageNode[], paint: Paint): string => {
  const lines = [...linesOf(nodes, "", true)]
  const now = Date.now()
  const [head = "", ...rows] = table(
    [HEAD.map((title) => paint("dim", title)), ...lines.map((line) => rowOf(line, now, paint))],
    [3, 4, 5],
  )
  const drawn = rows.flatMap((row, index) => {
    const { node, below } = lines[index] as Line
    return node.problem === undefined ? [row] : [row, `${paint("dim", below)}${printable(node.problem.message)}`]
  })
  return indented([head, ...drawn], "")
}

const tree = async (folder: string, { json }: CommonOptions, { signal }: CliContext): Promise<void> => {
  const { snapshotLineage } = await import("../../../index.ts")
  const snapshots = await snapshotLineage(folder, { signal })
  if (json) printJson({ folder: resolve(folder), snapshots })
  else if (snapshots.length === 0) process.stdout.write(`No snapshots in ${printable(resolve(folder))}.\n`)
  else process.stdout.write(draw(snapshots, painter(process.stdout)))
}

const examples = `  cryovm snapshot tree                  the snapshots here
  cryovm snapshot tree /snapshots
  cryovm snapshot tree --json | jq '.. | .problem? // empty'`

/** @param snapshot the command that this belongs to */
export const registerSnapshotTree = (snapshot: Command, context: CliContext): void => {
  const command = snapshot
    .command("tree")
    .summary("the snapshots in a folder, and which is a difference to which")
    .description(
      "Draw the snapshots in a folder, each below the one that it is a difference to, with the room that they take on\n" +
        "disk. An ORPHAN is one whose parent is not there; DAMAGED is what cannot be read. Their memory is not looked at.",
    )
    .argument("[folder]", "the folder", ".")
  addCommonOptions(command, "print the snapshots as JSON, each with its children", examples).action(
    (folder: string, options: CommonOptions) => tree(folder, options, context),
  )
}
