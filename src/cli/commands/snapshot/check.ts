/** `cryovm snapshot check` and `needs`: does a snapshot run on a host, and what decides it. */
import { readFile, stat } from "node:fs/promises"
import { type Command, Option } from "commander"
import type { Compatibility, Finding, Severity, SnapshotNeeds, Verdict } from "../../../index.ts"
import type { CliContext } from "../../context.ts"
import { ExitCode } from "../../exit-codes.ts"
import {
  addCommonOptions,
  addParentsOption,
  addResourceOption,
  type CommonOptions,
  type ParentsOptions,
  type ResourceCliOptions,
} from "../../options.ts"
import { printJson } from "../../output/json.ts"
import { indented, table } from "../../output/table.ts"
import { type Paint, painter, printable } from "../../output/terminal.ts"
import { notEmpty } from "../../usage.ts"

interface CheckOptions extends CommonOptions, ParentsOptions, ResourceCliOptions {
  readonly host?: string
}

const SIGNS: Readonly<Record<Severity, readonly [text: string, format: Parameters<Paint>[0]]>> = {
  blocker: ["BLOCKER", "red"],
  care: ["care", "yellow"],
  info: ["info", "dim"],
}

const sentenceOf = (verdict: Verdict, where: string, paint: Paint): string => {
  switch (verdict) {
    case "runs":
      return paint("green", `This snapshot runs ${where}.`)
    case "runs-with-care":
      return paint("yellow", `This snapshot runs ${where}, with care:`)
    case "will-not-run":
      return paint("red", `This snapshot will not run ${where}:`)
  }
}

const rowsOf = ({ severity, subject, expected, actual, remedy }: Finding, paint: Paint): readonly string[][] => {
  const [sign, format] = SIGNS[severity]
  return [
    [paint(format, sign), printable(subject), `expected ${printable(expected)}; found ${printable(actual)}`],
    ["", "", paint("bold", `-> ${printable(remedy)}`)],
  ]
}

const print = ({ verdict, findings }: Compatibility, where: string): void => {
  const paint = painter(process.stdout)
  process.stdout.write(`${sentenceOf(verdict, where, paint)}\n`)
  process.stdout.write(indented(table(findings.flatMap((finding) => rowsOf(finding, paint)))))
}

/** A directory is a snapshot; a file holds what one needs. */
const snapshotAt = async (path: string): Promise<string | SnapshotNeeds> => {
  const isFile = await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  )
  if (!isFile) return path
  const { parseSnapshotNeeds } = await import("../../../index.ts")
  return parseSnapshotNeeds(await readFile(path, "utf8"))
}

const check = async (path: string, options: CheckOptions, { signal }: CliContext): Promise<number> => {
  const { host, json, parents = [], resource: resources = {} } = options
  const { checkCompatibility, parseHostProfile } = await import("../../../index.ts")
  const profile = host === undefined ? undefined : parseHostProfile(await readFile(host, "utf8"))
  const compatibility = await checkCompatibility(await snapshotAt(path), profile, { signal, parents, resources })
  if (json) printJson(compatibility)
  else print(compatibility, host === undefined ? "here" : `on the host of ${printable(host)}`)
  return compatibility.verdict === "will-not-run" ? ExitCode.failure : ExitCode.ok
}

const needs = async (dir: string, { signal }: CliContext): Promise<void> => {
  const { describeNeeds, formatSnapshotNeeds } = await import("../../../index.ts")
  process.stdout.write(formatSnapshotNeeds(await describeNeeds(dir, { signal })))
}

const checkExamples = `  cryovm snapshot check warm                          does it run here?
  cryovm snapshot check warm --host there.json        and there? ("cryovm host-profile" makes the file)
  cryovm snapshot check needs.json --host there.json  without the snapshot at hand ("cryovm snapshot needs")
  cryovm snapshot check warm --json | jq -r .verdict`

const needsExamples = "  cryovm snapshot needs warm > needs.json"

/** @param snapshot the command that these belong to */
export const registerSnapshotCheck = (snapshot: Command, context: CliContext): void => {
  const checkCommand = snapshot
    .command("check")
    .summary("whether a snapshot runs here, or on another host")
    .description(
      "Tell whether a snapshot runs on this host or on another, and all that speaks against it, with remedies. Exits\n" +
        "with 1 when it will not run. Asked of another host, only the snapshot's state file is read.",
    )
    .argument("<snapshot>", 'the snapshot\'s directory, or a file by "cryovm snapshot needs"')
    .addOption(
      new Option("--host <file>", "the profile of another host, instead of this one as it is").argParser(notEmpty),
    )
  addResourceOption(addParentsOption(checkCommand))
  addCommonOptions(checkCommand, "print verdict and findings as JSON", checkExamples).action(
    async (path: string, options: CheckOptions) => {
      process.exitCode = await check(path, options, context)
    },
  )
  const needsCommand = snapshot
    .command("needs")
    .summary("what a snapshot needs of a host, as JSON")
    .description('Print what a snapshot needs of a host, as JSON: enough for "cryovm snapshot check" anywhere.')
    .argument("<dir>", "the snapshot's directory")
  addCommonOptions(needsCommand, "print JSON, as without it", needsExamples).action((dir: string) =>
    needs(dir, context),
  )
}
