import { test } from "uvu"
import * as assert from "uvu/assert"
import { formatHostProfile, formatSnapshotNeeds, parseHostProfile, parseSnapshotNeeds } from "../../src/index.ts"
import { packHostProfile, unpackHostProfile } from "../../src/machine/host-profile.ts"
import { kvmKindOf } from "../../src/machine/kvm-kind.ts"
import { hostProfileComponent } from "../../src/state/host-profile.ts"
import { thrownBy } from "../state/samples.ts"
import { sampleHost, sampleNeeds } from "../support/compatibility.ts"

const unknown = {
  ...sampleHost(),
  kvmKind: null,
  kvmModules: null,
  supportedCpuid: null,
  msrIndices: null,
  tscKhz: 0,
  tscScales: null,
  memoryBytes: null,
  availableMemoryBytes: null,
  cryovm: null,
}

for (const [what, profile] of Object.entries({ full: sampleHost(), "of which little is known": unknown })) {
  test(`a profile ${what} comes back from JSON, and from a snapshot, as it was`, () => {
    assert.equal(parseHostProfile(formatHostProfile(profile)), profile)
    const stored = hostProfileComponent.encode(packHostProfile(profile))
    assert.equal(unpackHostProfile(hostProfileComponent.decode(stored)), profile)
  })
}

test("registers are in hexadecimal, and may be written as numbers", () => {
  const document = JSON.parse(formatHostProfile(sampleHost()))
  assert.is(document.kind, "host-profile")
  assert.is(document.version, 1)
  assert.equal(document.state.supportedCpuid[0], {
    function: "0x0",
    index: 0,
    flags: 0,
    eax: "0x16",
    ebx: "0x756e6547",
    ecx: "0x6c65746e",
    edx: "0x49656e69",
  })
  assert.is(document.state.msrIndices[0], "0x10")
  document.state.msrIndices[0] = 16
  assert.equal(parseHostProfile(JSON.stringify(document)), sampleHost())
})

test("what a snapshot needs comes back from JSON as it was", () => {
  for (const needs of [sampleNeeds(), { ...sampleNeeds(), vcpu: null }]) {
    assert.equal(parseSnapshotNeeds(formatSnapshotNeeds(needs)), needs)
  }
})

const altered = (change: (document: { [key: string]: unknown; state: { [key: string]: unknown } }) => void): string => {
  const document = JSON.parse(formatHostProfile(sampleHost()))
  change(document)
  return JSON.stringify(document)
}

const refused: Readonly<Record<string, readonly [string, string]>> = {
  "no JSON": ["{", "DocumentInvalid"],
  "no object": ["[]", "DocumentInvalid"],
  nothing: ["null", "DocumentInvalid"],
  "another kind": [formatSnapshotNeeds(sampleNeeds()), "DocumentInvalid"],
  "no version": [altered((document) => delete document["version"]), "DocumentInvalid"],
  "no state": ['{"kind":"host-profile","version":1}', "DocumentInvalid"],
  "a newer version": ['{"kind":"host-profile","version":99,"state":{}}', "StateVersionUnsupported"],
  "version 0": [altered((document) => Object.assign(document, { version: 0 })), "StateVersionUnsupported"],
  "a missing field": [altered(({ state }) => delete state["cpu"]), "StateInvalid"],
  "an unknown field": [altered(({ state }) => Object.assign(state, { extra: 1 })), "StateInvalid"],
  "registers that are none": [
    altered(({ state }) => Object.assign(state, { msrIndices: ["0xfffffffff"] })),
    "DocumentInvalid",
  ],
  "CPUID that is no list": [altered(({ state }) => Object.assign(state, { supportedCpuid: {} })), "DocumentInvalid"],
  "a CPUID entry without a register": [
    altered(({ state }) => Object.assign(state, { supportedCpuid: [{ function: 1 }] })),
    "DocumentInvalid",
  ],
  "a missing list": [altered(({ state }) => delete state["msrIndices"]), "DocumentInvalid"],
}

for (const [what, [text, tag]] of Object.entries(refused)) {
  test(`refused as a profile: ${what}`, () => {
    const error = thrownBy(() => parseHostProfile(text))
    assert.is(error._tag, tag, error.message)
  })
}

test("the kind of KVM is told by flag and module together, and not guessed", () => {
  const kind = (flags: readonly string[] | null, modules: readonly string[] | null) =>
    kvmKindOf({ cpuFlags: flags && new Set(flags), modules })
  assert.is(kind(["vmx"], ["kvm", "kvm_intel"]), "vmx")
  assert.is(kind(["svm"], ["kvm", "kvm_amd"]), "svm")
  assert.is(kind(["vmx"], ["kvm", "kvm_pvm"]), "other")
  assert.is(kind([], ["kvm", "kvm_intel"]), "other")
  assert.is(kind([], ["kvm", "kvm_pvm"]), "other")
  assert.is(kind(null, ["kvm", "kvm_intel"]), null)
  assert.is(kind(["vmx"], null), null)
})

test.run()
