import type { WalkError } from "../../chain/walk-chain.ts"
import type { SnapshotFacts } from "../facts.ts"
import type { Finding } from "../finding.ts"
import type { SnapshotNeeds } from "../needs.ts"
import { checkFile } from "./files.ts"

const describeEnd = (end: WalkError): Finding => {
  switch (end._tag) {
    case "ParentMissing":
      return {
        code: "parent-missing",
        severity: "blocker",
        subject: "parent",
        expected: `snapshot ${end.parentId}, the parent of ${end.dir}`,
        actual: `not at ${end.lookedAt.join(", ")}`,
        remedy: `put it beside ${end.dir}, tell where it is (parents), or restore a flattened snapshot`,
      }
    case "ParentMismatch":
      return {
        code: "parent-changed",
        severity: "blocker",
        subject: "parent",
        expected: `${end.parentDir} with a header of digest ${end.expectedDigest}`,
        actual: `${end.actualDigest}: it was changed or replaced after ${end.dir} was taken`,
        remedy: `put back the snapshot that ${end.dir} was taken on`,
      }
    default:
      return {
        code: "chain-unusable",
        severity: "blocker",
        subject: "parent",
        expected: "parents that can be read, down to a full snapshot",
        actual: end.message,
        remedy: "copy the whole chain again, or restore a flattened snapshot",
      }
  }
}

/** The snapshots that this one is a difference to are there, and what they were. */
export const checkChain = ({ parent }: SnapshotNeeds, facts?: SnapshotFacts): readonly Finding[] => {
  if (parent === null) return []
  if (facts === undefined) {
    const remedy = "copy the whole chain to that host"
    const unchecked = { subject: "parent", expected: parent.id, actual: "not looked for", remedy }
    return [{ ...unchecked, code: "parent-unchecked", severity: "info" }]
  }
  const { parents, chainEnd } = facts
  return [...parents.flatMap(checkFile), ...(chainEnd === undefined ? [] : [describeEnd(chainEnd)])]
}
