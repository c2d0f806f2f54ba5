// time limit: 300 s
/** What is checked of a `state.cryo`, with the state of a real machine that was frozen. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { checkState } from "../../src/snapshot/operations/check-state.ts"
import { componentsOf, decodeEnvelope, encodeEnvelope, FORMAT_VERSION, type Section } from "../../src/state/envelope.ts"
import { thrownBy } from "../state/samples.ts"
import { forgeState } from "../support/forged-state.ts"
import { snapshotsDir } from "../support/frozen.ts"

const frozen = decodeEnvelope(new Uint8Array(readFileSync(join(snapshotsDir, "1/host-profile/state.cryo"))))

const CHUNK_BYTES = 2 ** 20
const memoryDigests = {
  algorithm: "xxh3-128-pages",
  chunkBytes: CHUNK_BYTES,
  digests: new Uint8Array((frozen.manifest.memory.file.size / CHUNK_BYTES) * 16).fill(9),
} as const

const state = encodeEnvelope({ manifest: frozen.manifest, sections: frozen.sections, memoryDigests })

const withSections = (sections: readonly Section[]): Uint8Array =>
  encodeEnvelope({
    manifest: { ...frozen.manifest, components: componentsOf(sections) },
    sections,
    memoryDigests,
  })

const problemsOf = (bytes: Uint8Array) => checkState(bytes).problems

const flipped = (bytes: Uint8Array, at: number, bit: number): Uint8Array => {
  const copy = bytes.slice()
  copy[at]! ^= 1 << bit
  return copy
}

test("a whole one has no problems, whatever its format", () => {
  const { header, manifest, memoryDigests: digests, problems } = checkState(state)
  assert.equal(problems, [])
  assert.is(header?.formatVersion, FORMAT_VERSION)
  assert.equal(manifest, frozen.manifest)
  assert.equal(digests, memoryDigests)
  for (let formatVersion = 1; formatVersion < FORMAT_VERSION; formatVersion++) {
    const { manifest: older, sections } = frozen
    const checked = checkState(encodeEnvelope({ manifest: older, sections, formatVersion }))
    assert.equal(checked.problems, [])
    assert.is(checked.memoryDigests, undefined)
  }
})

test("a bit flipped in any byte is found", () => {
  for (let at = 0; at < state.length; at++) {
    assert.ok(problemsOf(flipped(state, at, at % 8)).length > 0, `byte ${at}`)
  }
})

test("a file that ends early, or goes on, is found", () => {
  for (let length = 0; length < state.length; length += 97) {
    assert.is(problemsOf(state.subarray(0, length))[0]?.part, "state file", `${length} bytes`)
  }
  assert.equal(
    problemsOf(Buffer.concat([state, Buffer.alloc(1)])).map(({ part, code }) => [part, code]),
    [["state file", "CRYOVM_STATE_CORRUPT"]],
  )
})

test("a damaged part is named, and the others are looked at all the same", () => {
  const { headerLength, manifestLength, sectionsLength } = checkState(state).header!
  const partsAfter = (at: number) => {
    const checked = checkState(flipped(state, at, 0))
    return [
      checked.problems.map(({ part }) => part),
      checked.manifest !== undefined,
      checked.memoryDigests !== undefined,
    ]
  }
  assert.equal(partsAfter(20), [["header"], false, false])
  assert.equal(partsAfter(headerLength + 5), [["manifest"], false, false])
  assert.equal(partsAfter(headerLength + manifestLength + 5), [["sections"], true, true])
  assert.equal(partsAfter(headerLength + manifestLength + sectionsLength + 5), [["digests"], true, false])
  const both = flipped(flipped(state, headerLength + 5, 0), headerLength + manifestLength + 5, 0)
  assert.equal(
    problemsOf(both).map(({ part }) => part),
    ["manifest", "sections"],
  )
})

test("a section that is not what its schema says is named, though its digest is right", () => {
  const names = frozen.sections.map(({ name }) => name)
  const emptied = frozen.sections.map((section) => ({ ...section, payload: Uint8Array.of(0x80) }))
  const problems = problemsOf(withSections(emptied))
  assert.equal(
    problems.map(({ part, code, section }) => [part, code, section]),
    names.map((name) => ["section", "CRYOVM_STATE_INVALID", name]),
  )
})

test("sections of unknown kinds: optional ones are left alone, others are problems; so is one that is not there", () => {
  const unknown = { name: "gpu0", kind: "virtio-gpu", version: 1, payload: Uint8Array.of(0x80) }
  assert.equal(problemsOf(withSections([...frozen.sections, { ...unknown, optional: true }])), [])
  const told = (sections: readonly Section[]) =>
    problemsOf(withSections(sections)).map(({ part, code, section }) => [part, code, section])
  assert.equal(told([...frozen.sections, unknown]), [["section", "CRYOVM_SECTIONS_UNSUPPORTED", "gpu0"]])
  assert.equal(told(frozen.sections.filter(({ name }) => name !== "vcpu1")), [
    ["section", "CRYOVM_SECTIONS_UNSUPPORTED", "vcpu1"],
  ])
  assert.equal(told(frozen.sections.filter(({ name }) => name !== "machine")), [
    ["section", "CRYOVM_SECTIONS_UNSUPPORTED", "machine"],
  ])
})

test("sections that the manifest does not tell of", () => {
  const { header } = checkState(state)
  const manifestAt = header!.headerLength
  const other = withSections(frozen.sections.slice(0, -1))
  const otherHeader = checkState(other).header!
  const otherSections = other
    .subarray(otherHeader.headerLength + otherHeader.manifestLength)
    .subarray(0, otherHeader.sectionsLength)
  const forged = forgeState(1, state.subarray(manifestAt, manifestAt + header!.manifestLength), otherSections)
  assert.ok(problemsOf(forged).some(({ part, message }) => part === "sections" && message.includes("components")))
})

test("what a newer release wrote is not called damaged", () => {
  assert.is(
    thrownBy(() => checkState(forgeState(99, Uint8Array.of(0x80), Uint8Array.of(0x90))))._tag,
    "StateFormatTooNew",
  )
})

test.run()
