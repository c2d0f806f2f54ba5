/** `cryovm snapshot flatten`, `rebase` and `import`: new snapshots made of others. */
import { type Command, Option } from "commander"
import type { DerivedSnapshotInfo } from "../../../index.ts"
import type { CliContext } from "../../context.ts"
import { addCommonOptions, type CommonOptions } from "../../options.ts"
import { formatBytes, formatDuration } from "../../output/format.ts"
import { printJson } from "../../output/json.ts"
import { ProgressBar } from "../../output/progress-bar.ts"
import { printable } from "../../output/terminal.ts"
import { notEmpty } from "../../usage.ts"
import { addWritingOptions, operationOptions, type WritingOptions } from "./options.ts"

interface RebaseOptions extends WritingOptions {
  readonly onto: string
}

interface ImportOptions extends CommonOptions {
  readonly overwrite?: boolean
}

const report = (info: DerivedSnapshotInfo, { json }: CommonOptions): void => {
  if (json) {
    printJson(info)
    return
  }
  process.stdout.write(
    `written to ${printable(info.dir)}: ${info.type}, ${formatBytes(info.writtenBytes)} of ` +
      `${formatBytes(info.memoryBytes)} memory, ${formatDuration(info.milliseconds.total)}\n`,
  )
}

const flatten = async (dir: string, out: string, options: WritingOptions, { signal }: CliContext): Promise<void> => {
  const library = await import("../../../index.ts")
  using progress = new ProgressBar("flattening")
  const { onProgress } = progress
  const info = await library.flatten(dir, out, { ...operationOptions(options), onProgress, signal })
  progress.stop()
  report(info, options)
}

const rebase = async (dir: string, out: string, options: RebaseOptions, { signal }: CliContext): Promise<void> => {
  const library = await import("../../../index.ts")
  using progress = new ProgressBar("rebasing")
  const { onProgress } = progress
  const info = await library.rebase(dir, out, {
    ...operationOptions(options),
    onto: options.onto,
    onProgress,
    signal,
  })
  progress.stop()
  report(info, options)
}

const importFile = async (
  dir: string,
  file: string,
  out: string,
  options: ImportOptions,
  { signal }: CliContext,
): Promise<void> => {
  const { importMemory } = await import("../../../index.ts")
  using progress = new ProgressBar("importing")
  const { onProgress } = progress
  const info = await importMemory(dir, file, out, { overwrite: options.overwrite === true, onProgress, signal })
  progress.stop()
  report(info, options)
}

const OVERWRITE = "let it take the place of a snapshot that is there already"
const JSON_HELP = "print what was written as JSON"

const flattenExamples = `  cryovm snapshot flatten layer whole        one full snapshot that needs no parents
  cryovm snapshot flatten layer whole --parents /snapshots`

const rebaseExamples = `  cryovm snapshot rebase layer3 layer --onto base    one layer of all between them
  cryovm snapshot rebase other small --onto base     as a difference to what it has much in common with`

const importExamples = `  cryovm snapshot export warm memory.bin && cryovm snapshot import warm memory.bin again`

/** @param snapshot the command that these belong to */
export const registerSnapshotDerivations = (snapshot: Command, context: CliContext): void => {
  const flattenCommand = snapshot
    .command("flatten")
    .summary("make one full snapshot of a diff and its parents")
    .description(
      "Write a full snapshot with the state and the whole memory of another one, and of all that this is a difference to.\n" +
        "These are verified first, and stay as they are.",
    )
    .argument("<dir>", "the snapshot's directory")
    .argument("<out>", "the new snapshot's directory")
  addWritingOptions(flattenCommand, OVERWRITE)
  addCommonOptions(flattenCommand, JSON_HELP, flattenExamples).action(
    (dir: string, out: string, options: WritingOptions) => flatten(dir, out, options, context),
  )

  const rebaseCommand = snapshot
    .command("rebase")
    .summary("make it a difference to another snapshot")
    .description(
      "Write a diff snapshot with the same content as another one, as a difference to the one given by --onto: any of a\n" +
        "machine with as much memory. Both are verified first, and stay as they are.",
    )
    .argument("<dir>", "the snapshot's directory")
    .argument("<out>", "the new snapshot's directory")
    .addOption(
      new Option("--onto <dir>", "the snapshot that the new one is to be a difference to")
        .argParser(notEmpty)
        .makeOptionMandatory(),
    )
  addWritingOptions(rebaseCommand, OVERWRITE)
  addCommonOptions(rebaseCommand, JSON_HELP, rebaseExamples).action(
    (dir: string, out: string, options: RebaseOptions) => rebase(dir, out, options, context),
  )

  const importCommand = snapshot
    .command("import")
    .summary("make a snapshot of a state and a file of memory")
    .description(
      'Write a full snapshot with the machine state of another one and the memory of a flat file, as "cryovm snapshot\n' +
        'export" writes it: exactly as long as guest memory. Whether the two belong together cannot be checked.',
    )
    .argument("<dir>", "the snapshot whose state is taken")
    .argument("<file>", "the memory")
    .argument("<out>", "the new snapshot's directory")
    .option("--overwrite", OVERWRITE)
  addCommonOptions(importCommand, JSON_HELP, importExamples).action(
    (dir: string, file: string, out: string, options: ImportOptions) => importFile(dir, file, out, options, context),
  )
}
