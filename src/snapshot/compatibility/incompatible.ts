/** A snapshot that will not run on a host, as an error. */
import * as Data from "effect/Data"
import type { Compatibility, Finding } from "./finding.ts"

/** Many features are lost for one reason, and to one remedy: one line for all of them. */
const linesOf = (findings: readonly Finding[]): readonly string[] => {
  const groups = new Map<string, Finding[]>()
  for (const finding of findings) {
    const key = JSON.stringify([finding.code, finding.actual, finding.remedy])
    groups.set(key, [...(groups.get(key) ?? []), finding])
  }
  return [...groups.values()].map((group) => {
    const { expected, actual, remedy } = group[0] as Finding
    const subjects = group.map(({ subject }) => subject).join(", ")
    const wanted = group.length === 1 ? `expected ${expected}, found ${actual}` : actual
    return `${subjects}: ${wanted}; ${remedy}`
  })
}

/** A snapshot will not run on this host, or not as surely as was asked for. `findings` has all that was found. */
export class SnapshotIncompatible extends Data.TaggedError("SnapshotIncompatible")<{
  readonly message: string
  readonly dir: string
  /** The gravest first. */
  readonly findings: readonly Finding[]
}> {
  readonly code = "CRYOVM_SNAPSHOT_INCOMPATIBLE"

  static of(dir: string, { verdict, findings }: Compatibility): SnapshotIncompatible {
    const isBlocked = verdict === "will-not-run"
    const grave = findings.filter(({ severity }) => severity === (isBlocked ? "blocker" : "care"))
    const what = isBlocked ? "will not run" : "runs only with care"
    return new SnapshotIncompatible({
      message: `the snapshot ${dir} ${what} on this host:\n${linesOf(grave).join("\n")}\nforce restores it all the same`,
      dir,
      findings,
    })
  }
}
