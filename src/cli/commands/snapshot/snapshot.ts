/** `cryovm snapshot`: what has to do with snapshots on disk. */
import type { Command } from "commander"
import type { CliContext } from "../../context.ts"
import { registerSnapshotCheck } from "./check.ts"
import { registerSnapshotInfo } from "./info.ts"

export const registerSnapshot = (program: Command, context: CliContext): void => {
  const snapshot = program
    .command("snapshot")
    .summary("look at snapshots on disk")
    .description('Look at snapshots on disk. ("cryovm run --snapshot-on-exit DIR" makes one.)')
  registerSnapshotInfo(snapshot, context)
  registerSnapshotCheck(snapshot, context)
}
