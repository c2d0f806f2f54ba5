/** Where the machine states of two snapshots differ, component by component. */
import type { Section } from "../../state/envelope.ts"
import { registry } from "../sections.ts"
import { type FieldDifference, valueDifferences } from "./compare-values.ts"

/** One component whose state is not the same in two snapshots. */
export interface SectionDifference {
  /** Name of the component, for example `vcpu0`. */
  readonly name: string
  /** Its kind, and the version of its schema, in the first snapshot; `undefined` where it has no such component. */
  readonly a: SectionVersion | undefined
  /** In the second one. */
  readonly b: SectionVersion | undefined
  /** The fields that differ, the first of them; none where there is only one, or of a kind that is not known here. */
  readonly fields: readonly FieldDifference[]
  /** How many more differ. */
  readonly moreFields: number
}

export interface SectionVersion {
  readonly kind: string
  readonly version: number
}

const versionOf = (section: Section | undefined): SectionVersion | undefined =>
  section && { kind: section.kind, version: section.version }

const isSame = (a: Section, b: Section): boolean =>
  a.kind === b.kind && a.version === b.version && Buffer.compare(a.payload, b.payload) === 0

/** Both states in the current version of their component; `undefined` where one of them cannot be read here. */
const decodeBoth = (a: Section, b: Section): readonly [unknown, unknown] | undefined => {
  const known = registry.get(a.kind)
  if (known === undefined || a.kind !== b.kind || Math.max(a.version, b.version) > known.version) return undefined
  return [known.decode(a), known.decode(b)]
}

const compareSection = (
  name: string,
  a: Section | undefined,
  b: Section | undefined,
  maximumFields: number,
): SectionDifference | undefined => {
  if (a !== undefined && b !== undefined && isSame(a, b)) return undefined
  const states = a && b && decodeBoth(a, b)
  const fields: FieldDifference[] = []
  let moreFields = 0
  for (const field of states === undefined ? [] : valueDifferences(...states)) {
    if (fields.length < maximumFields) fields.push(field)
    else moreFields += 1
  }
  return { name, a: versionOf(a), b: versionOf(b), fields, moreFields }
}

/**
 * The components that differ, in the order of the first snapshot, then what only the second one has.
 * @param maximumFields most fields told of each
 * @throws StateInvalid
 */
export const compareSections = (
  a: readonly Section[],
  b: readonly Section[],
  maximumFields: number,
): readonly SectionDifference[] => {
  const inA = new Map(a.map((section) => [section.name, section]))
  const inB = new Map(b.map((section) => [section.name, section]))
  return [...new Set([...inA.keys(), ...inB.keys()])].flatMap((name) => {
    const difference = compareSection(name, inA.get(name), inB.get(name), maximumFields)
    return difference === undefined ? [] : [difference]
  })
}
