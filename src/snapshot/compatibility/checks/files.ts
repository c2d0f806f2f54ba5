import type { FileFact, SnapshotFacts } from "../facts.ts"
import type { Finding } from "../finding.ts"
import type { SnapshotNeeds } from "../needs.ts"

type Resource = SnapshotNeeds["resources"][number]

/** The memory file is there and whole. */
export const checkMemoryFile = ({ memoryFile: wanted }: SnapshotNeeds, facts: SnapshotFacts): readonly Finding[] => {
  const { memoryFile: found } = facts
  if (found !== "missing" && found.size === wanted.size) return []
  return [
    {
      code: "memory-file",
      severity: "blocker",
      subject: wanted.name,
      expected: `${wanted.size} bytes`,
      actual: found === "missing" ? "not there" : `${found.size} bytes`,
      remedy: "copy the snapshot again, with all of its files",
    },
  ]
}

const describeFile = (size: number | null, modified: string | null): string => {
  const parts = [...(size === null ? [] : [`${size} bytes`]), ...(modified === null ? [] : [`changed at ${modified}`])]
  return parts.length === 0 ? "there" : parts.join(", ")
}

const checkResource = ({ name, path, size, modified }: Resource, found: FileFact | undefined): readonly Finding[] => {
  const finding = { subject: name, expected: `${path}: ${describeFile(size, modified)}` }
  if (found === undefined) {
    const remedy = "look at it on that host before the machine is restored"
    return [{ ...finding, code: "resource-unchecked", severity: "info", actual: "not looked at", remedy }]
  }
  if (found === "missing") {
    const remedy = `put ${path} where it was, or restore with another path for ${name}`
    return [{ ...finding, code: "resource-missing", severity: "blocker", actual: "not there", remedy }]
  }
  const isSame = (size === null || size === found.size) && (modified === null || modified === found.modified)
  if (isSame) return []
  const actual = describeFile(found.size, found.modified)
  const remedy = "put the file back as it was when the snapshot was taken: the guest holds parts of it in its memory"
  return [{ ...finding, code: "resource-changed", severity: "care", actual, remedy }]
}

/** Files outside of the snapshot are there, and as they were. */
export const checkResources = ({ resources }: SnapshotNeeds, facts?: SnapshotFacts): readonly Finding[] =>
  resources.flatMap((resource) => checkResource(resource, facts?.resources.get(resource.path)))

/** The snapshot that this one is a difference to is there. */
export const checkParent = ({ parent }: SnapshotNeeds, facts?: SnapshotFacts): readonly Finding[] => {
  if (parent === null || facts?.parentFound === true) return []
  const finding = { subject: "parent", expected: parent.id }
  if (facts === undefined) {
    const remedy = "copy the whole chain to that host"
    return [{ ...finding, code: "parent-unchecked", severity: "info", actual: "not looked for", remedy }]
  }
  const remedy = "put the parent beside this snapshot, or restore a flattened one"
  return [{ ...finding, code: "parent-missing", severity: "blocker", actual: "not beside it", remedy }]
}
