/**
 * What a snapshot's machine needs outside of the snapshot, such as disk images: where it is here, and whether it is of
 * use. All of it is looked at before anything is built, so that a restore tells everything at once.
 */
import { resolve } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { Manifest } from "../../state/manifest.ts"
import type { FileFact } from "./file-fact.ts"
import { resourceKinds } from "./resource-kinds.ts"

/** Other places for what a snapshot names, by the names in its manifest's `resources`. */
export type ResourceOverrides = Readonly<Record<string, { readonly path: string }>>

export interface ResourceOptions {
  /**
   * Other places for the files, sockets and interfaces outside of the snapshot that it names: `{ disk0: { path } }`. What
   * is left out stays where it was. Relative paths are relative to the working directory.
   */
  readonly resources?: ResourceOverrides
}

/** A resource of a snapshot, where it is here. */
export interface ResolvedResource {
  readonly name: string
  readonly kind: string
  /** An absolute path; of a `tap`, the name of the interface. */
  readonly path: string
  /** Whether that is another than the snapshot's own. */
  readonly isOverridden: boolean
  /** Bytes when the snapshot was taken. */
  readonly size?: number
  /** When it was last changed at that time. */
  readonly modified?: string
  /** What it is now, where it is a regular file or should be one. */
  readonly file?: FileFact
}

/** One thing that keeps a snapshot from the resources that it needs. */
export interface ResourceProblem {
  /** Name of the resource, or the name that was given for one. */
  readonly name: string
  /** What of it is at fault. */
  readonly field: "name" | "kind" | "path"
  readonly message: string
}

/** All resources of a snapshot, looked at. */
export interface ResourceFindings {
  readonly resources: readonly ResolvedResource[]
  /** All that is wrong with them, and with the names that were given. */
  readonly problems: readonly ResourceProblem[]
}

/** Most resources of a machine. */
export const MAXIMUM_RESOURCES = 256

/** Most problems that the message of an error tells; the others are in its `problems`. */
const MOST_TOLD = 20
const LONGEST_SHOWN = 256

const shown = (text: string): string => (text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}...` : text)

/** What a snapshot needs outside of itself cannot be used. `problems` has everything that is wrong. */
export class ResourcesRefused extends Data.TaggedError("ResourcesRefused")<{
  readonly message: string
  readonly dir: string
  readonly problems: readonly ResourceProblem[]
}> {
  readonly code = "CRYOVM_RESOURCES_REFUSED"

  static of(dir: string, problems: readonly ResourceProblem[]): ResourcesRefused {
    const lines = problems.slice(0, MOST_TOLD).map(({ name, message }) => `${shown(name)}: ${message}`)
    if (problems.length > MOST_TOLD) lines.push(`and ${problems.length - MOST_TOLD} more`)
    const message = `the snapshot ${dir} cannot have what it needs outside of itself:\n${lines.join("\n")}\n`
    return new ResourcesRefused({ message: `${message}restore it with other paths (resources)`, dir, problems })
  }
}

const isOverride = (value: unknown): value is { readonly path: string } =>
  typeof value === "object" && value !== null && "path" in value && typeof value.path === "string" && value.path !== ""

/** What is wrong with what was given, whatever is there. */
const overrideProblems = (
  recorded: Manifest["resources"],
  overrides: ResourceOverrides,
): readonly ResourceProblem[] => {
  const names = new Set(recorded.map(({ name }) => name))
  const known = names.size === 0 ? "none" : [...names].slice(0, MOST_TOLD).map(shown).join(", ")
  return Object.entries(overrides).flatMap(([name, override]): readonly ResourceProblem[] => {
    if (!names.has(name)) {
      return [{ name, field: "name", message: `the snapshot has no resource of that name; it has ${known}` }]
    }
    if (!isOverride(override)) return [{ name, field: "path", message: "expected { path: string }" }]
    return []
  })
}

const resolved = (resource: Manifest["resources"][number], overrides: ResourceOverrides): ResolvedResource => {
  const override = Object.hasOwn(overrides, resource.name) ? overrides[resource.name] : undefined
  if (!isOverride(override)) return { ...resource, isOverridden: false }
  // The name of an interface is no path.
  const path = resource.kind === "tap" ? override.path : resolve(override.path)
  return { ...resource, path, isOverridden: true }
}

const lookAt = async (resource: ResolvedResource): Promise<ResourceFindings> => {
  const { name, kind, path } = resource
  const look = resourceKinds.get(kind)
  if (look === undefined) {
    const known = [...resourceKinds.keys()].join(", ")
    const message = `this release knows no resource of kind ${shown(kind)}; it knows ${known}`
    return { resources: [resource], problems: [{ name, field: "kind", message }] }
  }
  const { problem, file } = await look(path)
  return {
    resources: [file === undefined ? resource : { ...resource, file }],
    problems: problem === undefined ? [] : [{ name, field: "path", message: `${kind} ${shown(path)}: ${problem}` }],
  }
}

const namesakes = (recorded: Manifest["resources"]): readonly ResourceProblem[] => {
  const names = recorded.map(({ name }) => name)
  const twice = new Set(names.filter((name, index) => names.indexOf(name) !== index))
  return [...twice].map((name) => ({ name, field: "name", message: "the snapshot has several resources of that name" }))
}

const tooMany = (count: number): ResourceProblem => ({
  name: "resources",
  field: "name",
  message: `the snapshot has ${count} resources, and ${MAXIMUM_RESOURCES} at most are taken`,
})

/** Looks at every resource of a snapshot, where it is or where it was put. */
export const lookAtResources = (
  recorded: Manifest["resources"],
  { resources: overrides = {} }: ResourceOptions = {},
): Effect.Effect<ResourceFindings> =>
  Effect.promise(async () => {
    if (recorded.length > MAXIMUM_RESOURCES) return { resources: [], problems: [tooMany(recorded.length)] }
    const looks = await Promise.all(recorded.map((resource) => lookAt(resolved(resource, overrides))))
    return {
      resources: looks.flatMap(({ resources }) => resources),
      problems: [
        ...overrideProblems(recorded, overrides),
        ...namesakes(recorded),
        ...looks.flatMap(({ problems }) => problems),
      ],
    }
  })

/** The same for a restore: fails with everything that is wrong. @param dir of the snapshot */
export const resolveResources = (
  dir: string,
  recorded: Manifest["resources"],
  options?: ResourceOptions,
): Effect.Effect<readonly ResolvedResource[], ResourcesRefused> =>
  Effect.flatMap(lookAtResources(recorded, options), ({ resources, problems }) =>
    problems.length === 0 ? Effect.succeed(resources) : Effect.fail(ResourcesRefused.of(dir, problems)),
  )
