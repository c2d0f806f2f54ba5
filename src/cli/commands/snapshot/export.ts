/** `cryovm snapshot export`: a snapshot's memory as one file. */
import type { Command } from "commander"
import type { CliContext } from "../../context.ts"
import { addCommonOptions } from "../../options.ts"
import { formatBytes } from "../../output/format.ts"
import { printJson } from "../../output/json.ts"
import { ProgressBar } from "../../output/progress-bar.ts"
import { printable } from "../../output/terminal.ts"
import { addWritingOptions, operationOptions, type WritingOptions } from "./options.ts"

interface ExportOptions extends WritingOptions {
  readonly changesOnly?: boolean
}

const exportFile = async (dir: string, file: string, options: ExportOptions, { signal }: CliContext): Promise<void> => {
  const { exportMemory } = await import("../../../index.ts")
  using progress = new ProgressBar("exporting")
  const exported = await exportMemory(dir, file, {
    ...operationOptions(options),
    changesOnly: options.changesOnly === true,
    onProgress: progress.onProgress,
    signal,
  })
  progress.stop()
  if (options.json) printJson(exported)
  else {
    const { memoryBytes, writtenBytes } = exported
    process.stdout.write(
      `written to ${printable(exported.file)}: ${formatBytes(memoryBytes)}, ${formatBytes(writtenBytes)} of it no holes\n`,
    )
  }
}

const examples = `  cryovm snapshot export warm memory.bin                   all of its memory
  cryovm snapshot export layer changes.bin --changes-only  what it changed, to be merged by hand`

/** @param snapshot the command that this belongs to */
export const registerSnapshotExport = (snapshot: Command, context: CliContext): void => {
  const command = snapshot
    .command("export")
    .summary("write a snapshot's memory to one flat file")
    .description(
      "Write the memory of a snapshot, with that of its parents, to a flat and sparse file: what is above 4 GiB lies\n" +
        "right behind what is below 3 GiB, as in the memory files of Firecracker. With --changes-only, everything that a\n" +
        "diff snapshot did not change is a hole, and what became zero is zeros, as in those of its diff snapshots.",
    )
    .argument("<dir>", "the snapshot's directory")
    .argument("<file>", "the file to be written")
    .option("--changes-only", "of a diff snapshot: only the pages that it changed")
  addWritingOptions(command, "let it take the place of a file that is there already")
  addCommonOptions(command, "print what was written as JSON", examples).action(
    (dir: string, file: string, options: ExportOptions) => exportFile(dir, file, options, context),
  )
}
