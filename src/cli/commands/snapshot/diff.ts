/** `cryovm snapshot diff`: what differs between two snapshots. */
import type { Command } from "commander"
import type { SectionDifference, SnapshotComparison } from "../../../index.ts"
import type { CliContext } from "../../context.ts"
import { diffExitCodeHelp, ExitCode } from "../../exit-codes.ts"
import { addCommonOptions, addParentsOption } from "../../options.ts"
import { formatBytes, plural } from "../../output/format.ts"
import { printJson } from "../../output/json.ts"
import { ProgressBar } from "../../output/progress-bar.ts"
import { indented, table } from "../../output/table.ts"
import { type Paint, painter, printable } from "../../output/terminal.ts"
import type { ChainOptions } from "./options.ts"

/** Most fields of a component, and most ranges of memory, that are printed; --json has more of them. */
const MOST_PRINTED = 12
/** Most fields of a component in JSON. */
const MOST_FIELDS = 10_000
/** Most characters of a value that are printed. */
const VALUE_CHARACTERS = 36

const inHex = (value: number | bigint): string => `0x${value.toString(16)}`

/** A value on one line. */
const valueText = (value: unknown): string => {
  if (value === undefined) return "-"
  if (typeof value === "bigint") return inHex(value)
  if (value instanceof Uint8Array) return shortened(Buffer.from(value).toString("hex"))
  return shortened(
    printable(JSON.stringify(value, (_, part) => (typeof part === "bigint" ? inHex(part) : part)) ?? String(value)),
  )
}

const shortened = (text: string): string =>
  text.length <= VALUE_CHARACTERS ? text : `${text.slice(0, VALUE_CHARACTERS - 1)}…`

const versionText = (section: SectionDifference["a"]): string =>
  section === undefined ? "not there" : `${section.kind}, version ${section.version}`

const sectionText = ({ name, a, b, fields, moreFields }: SectionDifference, paint: Paint): string => {
  const isSameVersion = a?.kind === b?.kind && a?.version === b?.version
  const versions = isSameVersion ? "" : `: ${versionText(a)} against ${versionText(b)}`
  const shown = fields.slice(0, MOST_PRINTED)
  const more = fields.length - shown.length + moreFields
  const rows = shown.map(({ path, a: left, b: right }) => [
    printable(path),
    paint("red", valueText(left)),
    paint("green", valueText(right)),
  ])
  const isOpaque = isSameVersion && fields.length === 0
  return (
    `${paint("bold", printable(name))}${printable(versions)}\n` +
    indented(table(rows)) +
    (more > 0 ? `  and ${plural(more, "more field")}\n` : "") +
    (isOpaque ? "  its bytes differ, and its kind is not known here\n" : "")
  )
}

const memoryText = ({ a, b, memory }: SnapshotComparison, paint: Paint): string => {
  const head = paint("bold", "memory")
  if (memory === undefined) {
    return `${head}: ${formatBytes(a.memoryBytes)} against ${formatBytes(b.memoryBytes)}, not compared\n`
  }
  if (memory.pages === 0) return ""
  const shown = memory.ranges.slice(0, MOST_PRINTED)
  const more = memory.ranges.length - shown.length
  const rows = shown.map(({ guestAddress, size }) => [inHex(guestAddress), formatBytes(size)])
  return (
    `${head}: ${plural(memory.pages, "page")} in ${plural(memory.ranges.length, "range")}, ${formatBytes(memory.bytes)}\n` +
    indented(table(rows, [0, 1])) +
    (more > 0 ? `  and ${plural(more, "more range")}\n` : "")
  )
}

const print = (comparison: SnapshotComparison): void => {
  const paint = painter(process.stdout)
  const { identical, sections } = comparison
  process.stdout.write(
    identical
      ? "The two are the same machine state and memory.\n"
      : sections.map((section) => sectionText(section, paint)).join("") + memoryText(comparison, paint),
  )
}

const diff = async (a: string, b: string, options: ChainOptions, context: CliContext): Promise<number> => {
  context.failureCode = ExitCode.diffTrouble
  const { compareSnapshots } = await import("../../../index.ts")
  using progress = new ProgressBar("comparing")
  const comparison = await compareSnapshots(a, b, {
    maximumFields: MOST_FIELDS,
    parents: options.parents ?? [],
    onProgress: progress.onProgress,
    signal: context.signal,
  })
  progress.stop()
  if (options.json) printJson(comparison)
  else print(comparison)
  return comparison.identical ? ExitCode.ok : ExitCode.differs
}

const examples = `  cryovm snapshot diff before after          which registers, devices and pages changed?
  cryovm snapshot diff before after --json | jq '.memory.ranges'
  cryovm snapshot diff layer whole > /dev/null && echo the same`

/** @param snapshot the command that this belongs to */
export const registerSnapshotDiff = (snapshot: Command, context: CliContext): void => {
  const command = snapshot
    .command("diff")
    .summary("what differs between two snapshots")
    .description(
      "Tell what differs between two snapshots of any kind: components by fields, with the value in each, and memory by\n" +
        "guest-physical addresses. Exits as diff(1) does: 0 when nothing differs, 1 when something does, 2 on trouble.",
    )
    .argument("<a>", "directory of the one snapshot")
    .argument("<b>", "directory of the other")
  addParentsOption(command)
  addCommonOptions(command, "print all that differs as JSON", examples, diffExitCodeHelp).action(
    async (a: string, b: string, options: ChainOptions) => {
      process.exitCode = await diff(a, b, options, context)
    },
  )
}
