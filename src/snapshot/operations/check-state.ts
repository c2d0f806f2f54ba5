/**
 * Everything about a `state.cryo` that can be checked: each part by its digest and its schema, each section by that of
 * its component. A part that is damaged does not keep the others from being looked at.
 */
import { type MachineState, machineComponent } from "../../machine/config.ts"
import { StateInvalid, StateVersionUnsupported } from "../../state/component.ts"
import {
  checkComponents,
  decodeManifest,
  decodeMemoryDigests,
  decodeSectionList,
  readHeader,
  type Section,
  type StateHeader,
  statePartsOf,
} from "../../state/envelope.ts"
import { StateCorrupt, StateNotCryovm, StateTooLarge, StateTruncated } from "../../state/envelope-errors.ts"
import type { Manifest } from "../../state/manifest.ts"
import type { MemoryDigests } from "../../state/memory-digests.ts"
import { decodeSection, reviewSections, type SectionsUnsupported } from "../../state/registry.ts"
import type { SnapshotPart, SnapshotProblem } from "../problem.ts"
import { expectedOf, MACHINE_SECTION, registry } from "../sections.ts"

/** What is left of a `state.cryo`, and what is wrong with the rest. */
export interface CheckedState {
  readonly header: StateHeader | undefined
  readonly manifest: Manifest | undefined
  readonly machine: MachineState | undefined
  readonly memoryDigests: MemoryDigests | undefined
  readonly problems: readonly SnapshotProblem[]
}

/** Of one whose header cannot be read. */
export const nothingLeft = { header: undefined, manifest: undefined, machine: undefined, memoryDigests: undefined }

/** Damage; anything else is a release that is too old for the file, or a mistake of ours. */
const damages = [StateCorrupt, StateInvalid, StateNotCryovm, StateTooLarge, StateTruncated]
type Damage = InstanceType<(typeof damages)[number]>

const isDamage = (error: unknown): error is Damage => damages.some((damage) => error instanceof damage)

/** Runs checks, and keeps what they fail with as problems. */
class Findings {
  readonly problems: SnapshotProblem[] = []

  /** @throws what is no damage: StateFormatTooNew, StateVersionUnsupported */
  attempt<A>(part: SnapshotPart, check: () => A): A | undefined {
    try {
      return check()
    } catch (error) {
      if (!isDamage(error)) throw error
      const { code, message } = error
      const isFile = !(error instanceof StateInvalid) && !(error instanceof StateCorrupt && error.part !== "end")
      this.problems.push({ part: isFile ? "state file" : part, code, message })
      return undefined
    }
  }

  /** The state of one component, which may also be of a version that is not known here. */
  attemptSection<A>(section: string, decode: () => A): A | undefined {
    try {
      return decode()
    } catch (error) {
      if (!(error instanceof StateInvalid || error instanceof StateVersionUnsupported)) throw error
      const { code, message } = error
      this.problems.push({ part: "section", code, message: `section ${section}: ${message}`, section })
      return undefined
    }
  }
}

const machineOf = (sections: readonly Section[], findings: Findings): MachineState | undefined => {
  const section = sections.find(({ name }) => name === MACHINE_SECTION)
  if (section === undefined) return undefined
  return findings.attemptSection(MACHINE_SECTION, () => decodeSection(machineComponent, section))
}

const UNSUPPORTED = "CRYOVM_SECTIONS_UNSUPPORTED" satisfies SectionsUnsupported["code"]

/**
 * Sections that are optional and not known here are left alone.
 * @returns the machine, where its section is one
 */
const checkSections = (sections: readonly Section[], findings: Findings): MachineState | undefined => {
  const machine = machineOf(sections, findings)
  const expected =
    machine === undefined ? [{ name: MACHINE_SECTION, kind: machineComponent.kind }] : expectedOf(machine)
  const { known, problems } = reviewSections(registry, sections, expected)
  for (const { name, message } of problems) {
    findings.problems.push({ part: "section", code: UNSUPPORTED, message, section: name })
  }
  for (const section of known) {
    if (section.name === MACHINE_SECTION) continue
    findings.attemptSection(section.name, () => registry.get(section.kind)?.decode(section))
  }
  return machine
}

/**
 * Checks the bytes of a `state.cryo`.
 * @throws StateFormatTooNew, StateVersionUnsupported: what a newer release wrote cannot be checked
 */
export const checkState = (bytes: Uint8Array): CheckedState => {
  const findings = new Findings()
  const { problems } = findings
  const header = findings.attempt("header", () => readHeader(bytes))
  if (header === undefined) return { ...nothingLeft, problems }
  const parts = statePartsOf(header, bytes)
  const manifest = findings.attempt("manifest", () => decodeManifest(header, parts.manifest))
  const sections = findings.attempt("sections", () => decodeSectionList(header, parts.sections))
  if (manifest !== undefined && sections !== undefined) {
    findings.attempt("sections", () => checkComponents(manifest, sections))
  }
  const machine = sections && checkSections(sections, findings)
  // Without a manifest nobody knows how many digests there have to be.
  const memoryDigests =
    manifest && findings.attempt("digests", () => decodeMemoryDigests(header, parts.digests, manifest))
  return { header, manifest, machine, memoryDigests, problems }
}
