/** The components that a release knows, by kind, and what of a snapshot's sections it can read. */
import * as Data from "effect/Data"
import { type Component, StateInvalid } from "./component.ts"
import type { Section } from "./envelope.ts"
import type { ComponentEntry } from "./manifest.ts"

/** A component whose state's type does not matter: one that is listed, described or read, not written. */
export type KnownComponent = Pick<Component<unknown>, "kind" | "version" | "schemas" | "decode">

/** Components by kind. Made by {@link makeRegistry}. */
export interface Registry {
  /** In order of their kinds. */
  readonly components: readonly KnownComponent[]
  get(kind: string): KnownComponent | undefined
}

/** What a machine needs to find in a snapshot. */
export interface ExpectedSection {
  readonly name: string
  readonly kind: string
}

/** One reason why a list of sections cannot be read here. */
export interface SectionProblem {
  readonly reason: "unknown-kind" | "too-new" | "wrong-kind" | "duplicate" | "missing"
  readonly name: string
  readonly kind: string
  /** Version of the section; `undefined` where it is missing. */
  readonly version: number | undefined
  /** The reason in a sentence. */
  readonly message: string
}

/** A snapshot has sections that this release, or this machine, cannot take. All of them are listed. */
export class SectionsUnsupported extends Data.TaggedError("SectionsUnsupported")<{
  readonly message: string
  readonly problems: readonly SectionProblem[]
}> {
  readonly code = "CRYOVM_SECTIONS_UNSUPPORTED"
}

/** Sections that can be read, and optional ones that are left alone because they are not known here. */
export interface SectionReview<S> {
  readonly known: readonly S[]
  readonly ignored: readonly S[]
  readonly problems: readonly SectionProblem[]
}

/** Collects components; two of one kind are a mistake in the program. */
export const makeRegistry = (components: readonly KnownComponent[]): Registry => {
  const byKind = new Map<string, KnownComponent>()
  for (const component of components) {
    if (byKind.has(component.kind)) throw new TypeError(`two components of kind ${component.kind} in one registry`)
    byKind.set(component.kind, component)
  }
  const inOrder = [...byKind.values()].sort((a, b) => (a.kind < b.kind ? -1 : 1))
  return { components: inOrder, get: (kind) => byKind.get(kind) }
}

/**
 * Writes one section, in the component's current version unless an older one is asked for.
 * @throws StateInvalid, StateVersionUnsupported, StateDowngradeLossy
 */
export const encodeSection = <T>(
  name: string,
  component: Component<T>,
  state: T,
  options: { readonly version?: number; readonly optional?: boolean } = {},
): Section => ({
  name,
  kind: component.kind,
  ...component.encode(state, options.version),
  ...(options.optional === true && { optional: true }),
})

/**
 * Reads one section, of any version that the component knows.
 * @throws StateInvalid, StateVersionUnsupported
 */
export const decodeSection = <T>(component: Component<T>, section: Section): T => {
  if (section.kind === component.kind) return component.decode(section)
  throw new StateInvalid({
    message: `section ${section.name} holds ${section.kind} state, not ${component.kind}`,
    kind: component.kind,
    version: section.version,
  })
}

/**
 * Compares sections, or a manifest's lines about them, with what is known here, without reading any payload.
 * @param expected what the machine needs, by name; an optional section that it needs is not ignored
 */
export const reviewSections = <S extends ComponentEntry>(
  registry: Registry,
  sections: readonly S[],
  expected: readonly ExpectedSection[] = [],
): SectionReview<S> => {
  const known: S[] = []
  const ignored: S[] = []
  const problems: SectionProblem[] = []
  const needed = new Map(expected.map((section) => [section.name, section]))
  const seen = new Set<string>()

  for (const section of sections) {
    const { name, kind, version } = section
    const report = (reason: SectionProblem["reason"], message: string) =>
      problems.push({ reason, name, kind, version, message })

    if (seen.has(name)) {
      report("duplicate", `there are two sections named ${name}`)
      continue
    }
    seen.add(name)
    const component = registry.get(kind)
    const need = needed.get(name)
    const skippable = section.optional === true && need === undefined
    if (need !== undefined && need.kind !== kind) {
      report("wrong-kind", `section ${name} holds ${kind} state; the machine has ${need.kind} there`)
    } else if (component === undefined || version > component.version) {
      if (skippable) ignored.push(section)
      else if (component === undefined) report("unknown-kind", `section ${name} is of the unknown kind ${kind}`)
      else {
        report(
          "too-new",
          `section ${name} holds ${kind} state of version ${version}; up to ${component.version} is read`,
        )
      }
    } else known.push(section)
  }
  for (const { name, kind } of needed.values()) {
    if (seen.has(name)) continue
    problems.push({
      reason: "missing",
      name,
      kind,
      version: undefined,
      message: `there is no section ${name}, which the machine needs for its ${kind}`,
    })
  }
  return { known, ignored, problems }
}

/**
 * {@link reviewSections} for a reader that goes on only when there is nothing wrong.
 * @throws SectionsUnsupported naming every problem
 */
export const checkSections = <S extends ComponentEntry>(
  registry: Registry,
  sections: readonly S[],
  expected: readonly ExpectedSection[] = [],
): Pick<SectionReview<S>, "known" | "ignored"> => {
  const { known, ignored, problems } = reviewSections(registry, sections, expected)
  if (problems.length === 0) return { known, ignored }
  throw new SectionsUnsupported({
    message: `the snapshot cannot be read here: ${problems.map(({ message }) => message).join("; ")}`,
    problems,
  })
}
