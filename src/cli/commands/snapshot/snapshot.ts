/** `cryovm snapshot`: what has to do with snapshots on disk. */
import type { Command } from "commander"
import type { CliContext } from "../../context.ts"
import { registerSnapshotCheck } from "./check.ts"
import { registerSnapshotCreate } from "./create.ts"
import { registerSnapshotDerivations } from "./derive.ts"
import { registerSnapshotDiff } from "./diff.ts"
import { registerSnapshotExport } from "./export.ts"
import { registerSnapshotInfo } from "./info.ts"
import { registerSnapshotTree } from "./tree.ts"
import { registerSnapshotVerify } from "./verify.ts"

export const registerSnapshot = (program: Command, context: CliContext): void => {
  const snapshot = program
    .command("snapshot")
    .summary("make snapshots, look at them, and make others of them")
    .description("Make snapshots, look at them, and make others of them.")
  registerSnapshotCreate(snapshot, context)
  registerSnapshotInfo(snapshot, context)
  registerSnapshotCheck(snapshot, context)
  registerSnapshotVerify(snapshot, context)
  registerSnapshotTree(snapshot, context)
  registerSnapshotDiff(snapshot, context)
  registerSnapshotDerivations(snapshot, context)
  registerSnapshotExport(snapshot, context)
}
