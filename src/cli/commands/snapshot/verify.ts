/** `cryovm snapshot verify`: whether a snapshot is what was written. */
import type { Command } from "commander"
import type { LinkVerification, SnapshotVerification } from "../../../index.ts"
import type { CliContext } from "../../context.ts"
import { ExitCode } from "../../exit-codes.ts"
import { addCommonOptions, addParentsOption } from "../../options.ts"
import { formatBytes, plural } from "../../output/format.ts"
import { printJson } from "../../output/json.ts"
import { ProgressBar } from "../../output/progress-bar.ts"
import { indented, table } from "../../output/table.ts"
import { type Paint, painter, printable } from "../../output/terminal.ts"
import type { ChainOptions } from "./options.ts"

interface VerifyOptions extends ChainOptions {
  readonly chain: boolean
}

/** Most problems of one snapshot that are printed; --json has all of them. */
const MOST_PRINTED = 20

const rowsOf = ({ dir, problems, checkedBytes, hasDigests }: LinkVerification, paint: Paint): readonly string[][] => {
  const sign = problems.length === 0 ? paint("green", "ok") : paint("red", "DAMAGED")
  const told = problems.slice(0, MOST_PRINTED).map(({ message }) => ["", `${paint("red", "-")} ${printable(message)}`])
  const more = problems.length - told.length
  return [
    [sign, `${printable(dir)}  ${paint("dim", `(${formatBytes(checkedBytes)} held against digests)`)}`],
    ...told,
    ...(more > 0 ? [["", `${paint("red", "-")} ${more} more (--json has all of them)`]] : []),
    ...(hasDigests || problems.length > 0
      ? []
      : [["", paint("yellow", "its memory cannot be checked: it has no digests, as none of format 1 has")]]),
  ]
}

const print = ({ ok, links }: SnapshotVerification): void => {
  const paint = painter(process.stdout)
  process.stdout.write(indented(table(links.flatMap((link) => rowsOf(link, paint))), ""))
  const problems = links.reduce((count, link) => count + link.problems.length, 0)
  const verdict = ok
    ? paint("green", `No damage in ${plural(links.length, "snapshot")}.`)
    : paint("red", `Damaged: ${plural(problems, "problem")}. Copy what is damaged again from where it is whole.`)
  process.stdout.write(`${verdict}\n`)
}

const verify = async (dir: string, options: VerifyOptions, { signal }: CliContext): Promise<number> => {
  const { verifySnapshot } = await import("../../../index.ts")
  using progress = new ProgressBar("verifying")
  const verification = await verifySnapshot(dir, {
    chain: options.chain,
    parents: options.parents ?? [],
    onProgress: progress.onProgress,
    signal,
  })
  progress.stop()
  if (options.json) printJson(verification)
  else print(verification)
  return verification.ok ? ExitCode.ok : ExitCode.failure
}

const examples = `  cryovm snapshot verify warm                is every bit of it, and of its parents, as it was written?
  cryovm snapshot verify layer --no-chain    of this one alone
  cryovm snapshot verify warm --json | jq '.links[].problems'`

/** @param snapshot the command that this belongs to */
export const registerSnapshotVerify = (snapshot: Command, context: CliContext): void => {
  const command = snapshot
    .command("verify")
    .summary("look for damage in a snapshot and its parents")
    .description(
      "Hold every bit of a snapshot, and of those that it is a difference to, against its digests, and decode all that\n" +
        "can be. Tells what is damaged, and which guest memory that is. Exits with 1 when anything is.",
    )
    .argument("<dir>", "the snapshot's directory")
    .option("--no-chain", "look at this snapshot alone, not at its parents")
  addParentsOption(command)
  addCommonOptions(command, "print what was found in each snapshot as JSON", examples).action(
    async (dir: string, options: VerifyOptions) => {
      process.exitCode = await verify(dir, options, context)
    },
  )
}
