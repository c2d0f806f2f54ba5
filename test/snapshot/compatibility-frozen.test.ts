/** Snapshots of other releases, by their state files alone. */
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { checkCompatibility, describeNeeds } from "../../src/index.ts"
import { FORMAT_VERSION, readHeader } from "../../src/state/envelope.ts"
import { encodeMsgpack } from "../../src/state/msgpack.ts"
import { sampleHost } from "../support/compatibility.ts"
import { forgeState } from "../support/forged-state.ts"
import { snapshotsDir } from "../support/frozen.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const frozen = join(snapshotsDir, "1")

/** Every snapshot that is frozen, of every format. */
const everyState = () =>
  readdirSync(snapshotsDir, { recursive: true, encoding: "utf8" }).filter((path) => basename(path) === "state.cryo")

const stateOf = (name: string) => {
  const bytes = readFileSync(join(frozen, name, "state.cryo"))
  const { headerLength, manifestLength } = readHeader(bytes)
  const sectionsAt = headerLength + manifestLength
  return { manifest: bytes.subarray(headerLength, sectionsAt), sections: bytes.subarray(sectionsAt) }
}

test("every frozen snapshot tells what it needs, without its memory", async () => {
  const states = everyState()
  assert.ok(states.length >= 9)
  for (const path of states) {
    using scratch = temporaryDirectory()
    copyFileSync(join(snapshotsDir, path), join(scratch.path, "state.cryo"))
    const needs = await describeNeeds(scratch.path)
    assert.is(needs.vcpuCount, 2)
    assert.ok((needs.vcpu?.features.length ?? 0) > 3)
    assert.ok((needs.vcpu?.msrs.length ?? 0) > 3)
    // Another processor, certainly: what matters is that there is an answer.
    const { verdict, findings } = await checkCompatibility(scratch.path, sampleHost())
    assert.is(verdict, "will-not-run")
    assert.not.ok(findings.some(({ code }) => code === "memory-file" || code === "vcpu-state-unknown"))
  }
})

test("what the first release did not record of its host is not held against another", async () => {
  const needs = await describeNeeds(join(frozen, "first"))
  assert.is(needs.host.kvmKind, null)
  assert.is(needs.components[0]?.version, 1)
  const { findings } = await checkCompatibility(needs, sampleHost())
  assert.not.ok(findings.some(({ code }) => code === "kvm-kind"))
})

test("a format that is newer is found, not thrown", async () => {
  using scratch = temporaryDirectory()
  const { manifest, sections } = stateOf("first")
  writeFileSync(join(scratch.path, "state.cryo"), forgeState(FORMAT_VERSION + 1, manifest, sections))
  const { verdict, findings } = await checkCompatibility(scratch.path, sampleHost())
  assert.is(verdict, "will-not-run")
  assert.equal(
    findings.map(({ code }) => code),
    ["format-too-new"],
  )
})

test("so is a manifest that is newer", async () => {
  using scratch = temporaryDirectory()
  const manifest = encodeMsgpack({ version: 99, payload: new Uint8Array(0) })
  const { sections } = stateOf("first")
  writeFileSync(join(scratch.path, "state.cryo"), forgeState(FORMAT_VERSION, manifest, sections))
  const { verdict, findings } = await checkCompatibility(scratch.path, sampleHost())
  assert.is(verdict, "will-not-run")
  assert.equal(
    findings.map(({ code, expected }) => [code, expected]),
    [["format-too-new", "manifest of version 99"]],
  )
})

test("what is no snapshot is an error", async () => {
  using scratch = temporaryDirectory()
  for (const [dir, code] of [
    [scratch.path, "CRYOVM_SNAPSHOT_INCOMPLETE"],
    [join(scratch.path, "none"), "CRYOVM_SNAPSHOT_NOT_FOUND"],
  ] as const) {
    const thrown = await checkCompatibility(dir, sampleHost()).then(
      () => undefined,
      (error: { code?: string }) => error.code,
    )
    assert.is(thrown, code)
  }
})

test.run()
