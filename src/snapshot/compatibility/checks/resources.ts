/** What a snapshot's machine needs outside of the snapshot. */
import type { ResolvedResource, ResourceFindings, ResourceProblem } from "../../restore/resources.ts"
import type { SnapshotFacts } from "../facts.ts"
import type { Finding } from "../finding.ts"
import type { SnapshotNeeds } from "../needs.ts"

interface Described {
  readonly path: string
  readonly size?: number | null
  readonly modified?: string | null
}

const describeFile = (size: number | null, modified: string | null): string => {
  const parts = [...(size === null ? [] : [`${size} bytes`]), ...(modified === null ? [] : [`changed at ${modified}`])]
  return parts.length === 0 ? "there" : parts.join(", ")
}

const describe = ({ path, size = null, modified = null }: Described): string =>
  `${path}: ${describeFile(size, modified)}`

const unchecked = (resource: SnapshotNeeds["resources"][number]): Finding => ({
  code: "resource-unchecked",
  severity: "info",
  subject: resource.name,
  expected: describe(resource),
  actual: "not looked at",
  remedy: "look at it on that host before the machine is restored",
})

const refused = ({ name, message }: ResourceProblem): Finding => ({
  code: "resource-refused",
  severity: "blocker",
  subject: name,
  expected: "what the machine can use",
  actual: message,
  remedy: `make it so, or restore with another path for ${name}`,
})

const missing = (resource: ResolvedResource): Finding => ({
  code: "resource-missing",
  severity: "blocker",
  subject: resource.name,
  expected: describe(resource),
  actual: "not there",
  remedy: `put ${resource.path} where it was, or restore with another path for ${resource.name}`,
})

const checkContent = (resource: ResolvedResource): readonly Finding[] => {
  const { name, isOverridden, size, modified, file } = resource
  if (file === undefined || file === "missing") return []
  // A copy in another place was changed when it was made.
  const isAsOld = isOverridden || modified === undefined || modified === file.modified
  if (isAsOld && (size === undefined || size === file.size)) return []
  const remedy = "put the file back as it was when the snapshot was taken: the guest holds parts of it in its memory"
  const actual = describeFile(file.size, file.modified)
  return [{ code: "resource-changed", severity: "care", subject: name, expected: describe(resource), actual, remedy }]
}

/** What is outside of the snapshot is there, of use, and as it was. */
export const checkFound = ({ resources, problems }: ResourceFindings): readonly Finding[] => {
  const absent = resources.filter(({ file }) => file === "missing")
  const isAbsent = ({ name, field }: ResourceProblem) => field === "path" && absent.some((each) => each.name === name)
  return [
    ...absent.map(missing),
    ...problems.filter((problem) => !isAbsent(problem)).map(refused),
    ...resources.flatMap(checkContent),
  ]
}

/** The same, or that it was not looked at. */
export const checkResources = ({ resources }: SnapshotNeeds, facts?: SnapshotFacts): readonly Finding[] =>
  facts === undefined ? resources.map(unchecked) : checkFound(facts.resources)
