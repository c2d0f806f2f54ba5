import type { FileFact, MemoryFileFact, SnapshotFacts } from "../facts.ts"
import type { Finding } from "../finding.ts"
import type { SnapshotNeeds } from "../needs.ts"

type Resource = SnapshotNeeds["resources"][number]

/** One memory file is there, of the size that its snapshot tells. */
export const checkFile = ({ name, expectedBytes, found }: MemoryFileFact): readonly Finding[] =>
  found !== "missing" && found.size === expectedBytes
    ? []
    : [
        {
          code: "memory-file",
          severity: "blocker",
          subject: name,
          expected: `${expectedBytes} bytes`,
          actual: found === "missing" ? "not there" : `${found.size} bytes`,
          remedy: "copy the snapshot again, with all of its files",
        },
      ]

/** The memory file is there and whole. */
export const checkMemoryFile = ({ memoryFile }: SnapshotNeeds, facts: SnapshotFacts): readonly Finding[] =>
  checkFile({ name: memoryFile.name, expectedBytes: memoryFile.size, found: facts.memoryFile })

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
