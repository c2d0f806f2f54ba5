/** A host profile as JSON: the lists of registers in hexadecimal, as the processors' manuals have them. */
import { formatDocument, parseDocument } from "../state/document.ts"
import { hostProfileComponent } from "../state/host-profile.ts"
import { type HostProfile, packCpuid, packHostProfile, packWords, unpackHostProfile } from "./host-profile.ts"
import type { CpuidEntry } from "./kvm/cpuid.ts"

const hex = (value: number): string => `0x${value.toString(16)}`

const entryToJson = (entry: CpuidEntry) => ({
  ...entry,
  function: hex(entry.function),
  eax: hex(entry.eax),
  ebx: hex(entry.ebx),
  ecx: hex(entry.ecx),
  edx: hex(entry.edx),
})

/** Numbers as numbers or in hexadecimal; what is neither becomes one that no schema takes. */
const wordOf = (value: unknown): number => {
  const word = typeof value === "string" && /^0x[0-9a-f]{1,8}$/i.test(value) ? Number.parseInt(value, 16) : value
  if (typeof word === "number" && Number.isInteger(word) && word >= 0 && word <= 0xffff_ffff) return word
  throw new TypeError(`${JSON.stringify(value) ?? "undefined"} is not a number of 32 bits`)
}

const entryOf = (value: unknown): CpuidEntry => {
  const fields = (value ?? {}) as Readonly<Record<string, unknown>>
  const word = (name: string) => wordOf(fields[name])
  return {
    function: word("function"),
    index: word("index"),
    flags: word("flags"),
    eax: word("eax"),
    ebx: word("ebx"),
    ecx: word("ecx"),
    edx: word("edx"),
  }
}

const listOf = <A>(value: unknown, read: (entry: unknown) => A): readonly A[] => {
  if (!Array.isArray(value)) throw new TypeError(`${JSON.stringify(value) ?? "undefined"} is not a list`)
  return value.map(read)
}

/** JSON that {@link parseHostProfile} of this and every later release reads. */
export const formatHostProfile = (profile: HostProfile): string =>
  formatDocument(hostProfileComponent, {
    // Through the schema: what it does not take is found where it is written.
    ...unpackHostProfile(hostProfileComponent.decode(hostProfileComponent.encode(packHostProfile(profile)))),
    supportedCpuid: profile.supportedCpuid?.map(entryToJson) ?? null,
    msrIndices: profile.msrIndices?.map(hex) ?? null,
  })

/**
 * Reads a host profile that `cryovm host-profile` or {@link formatHostProfile} wrote.
 * @throws DocumentInvalid, StateInvalid, StateVersionUnsupported
 */
export const parseHostProfile = (text: string): HostProfile =>
  unpackHostProfile(
    parseDocument(hostProfileComponent, text, (state) => ({
      ...state,
      supportedCpuid: state["supportedCpuid"] === null ? null : packCpuid(listOf(state["supportedCpuid"], entryOf)),
      msrIndices: state["msrIndices"] === null ? null : packWords(listOf(state["msrIndices"], wordOf)),
    })),
  )
