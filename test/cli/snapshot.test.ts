/** `cryovm snapshot info` and `cryovm restore` with directories made by hand. None of it needs KVM. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import { unpackHostProfile } from "../../src/machine/host-profile.ts"
import { MEMORY_FILE, STATE_FILE } from "../../src/snapshot/bundle/bundle.ts"
import { encodeEnvelope, FORMAT_VERSION } from "../../src/state/envelope.ts"
import { sampleEnvelope, sampleManifest } from "../state/samples.ts"
import { regionsOf, writeDiff, writeFull } from "../support/diff-chain.ts"
import { cryovm } from "./support.ts"

interface Context {
  parent: string
  dir: string
}

const test = suite<Context>("cryovm snapshot info", { parent: "", dir: "" })

test.before.each((context) => {
  context.parent = mkdtempSync(join(tmpdir(), "cryovm-cli-"))
  context.dir = join(context.parent, "snapshot")
  mkdirSync(context.dir)
})
test.after.each(({ parent }) => rmSync(parent, { recursive: true, force: true }))

const writeSample = (dir: string, label = "sample"): void => {
  const { manifest, sections } = sampleEnvelope()
  const labelled = { ...manifest, machine: { ...manifest.machine, label } }
  writeFileSync(join(dir, STATE_FILE), encodeEnvelope({ manifest: labelled, sections }))
  writeFileSync(join(dir, MEMORY_FILE), Buffer.alloc(8192))
}

/** The one line that a typed error is told in. */
const assertFailure = (ended: { code: number | null; stderr: string }, code: string): void => {
  assert.is(ended.code, 1, ended.stderr)
  assert.match(ended.stderr, new RegExp(`^cryovm: .+ \\[${code}\\]\\n`))
  assert.not.match(ended.stderr, /^ {4}at /m)
}

test("tells what a snapshot is", async ({ dir }) => {
  writeSample(dir)
  const { code, stdout, stderr } = await cryovm(["snapshot", "info", dir])
  assert.is(code, 0, stderr)
  const { id, createdAt } = sampleManifest()
  for (const part of [id, createdAt, dir, "sample", "2 vCPUs, 8 KiB", "a CPU", "2500.0 MHz", "counter0", "version 1"]) {
    assert.ok(stdout.includes(part), `${part} in ${stdout}`)
  }
  assert.match(stdout, /^ {2}counter1 +counter +version 1 +optional$/m)
})

test("--json prints the manifest and nothing else", async ({ dir }) => {
  writeSample(dir)
  const { code, stdout, stderr } = await cryovm(["snapshot", "info", dir, "--json"])
  assert.is(code, 0)
  assert.is(stderr, "")
  const {
    dir: told,
    diskBytes,
    digest,
    formatVersion,
    hasMemoryDigests,
    changedBytes,
    ...manifest
  } = JSON.parse(stdout)
  assert.is(told, dir)
  assert.type(diskBytes.state, "number")
  assert.match(digest, /^[0-9a-f]{64}$/)
  assert.equal([formatVersion, hasMemoryDigests, changedBytes], [FORMAT_VERSION, false, null])
  const sample = sampleManifest()
  assert.equal(manifest, { ...sample, host: unpackHostProfile(sample.host) })
})

test("of a difference, tells what it is one to, and how much changed", async ({ parent }) => {
  const base = writeFull(join(parent, "base"), regionsOf(8), new Map([[0, 1]]))
  const pages = new Map([1, 2, 3, 4].map((page) => [page, page === 4 ? 0 : page]))
  const { dir } = writeDiff(join(parent, "diff"), base, pages)
  const { code, stdout } = await cryovm(["snapshot", "info", dir])
  assert.is(code, 0)
  assert.match(stdout, /^type +diff, x86_64, format 3$/m)
  assert.match(stdout, new RegExp(`^parent +${base.manifest.id}, which was base beside it$`, "m"))
  assert.match(stdout, `header digest ${base.digest}`)
  assert.match(stdout, "what changed since the parent: 3 pages (12 KiB), and 4 KiB that became zero")
  assert.match(stdout, "without digests")
  const { changedBytes } = JSON.parse((await cryovm(["snapshot", "info", dir, "--json"])).stdout)
  assert.equal(changedBytes, { data: 12288, zeros: 4096 })
  truncateSync(join(dir, "memory.diff"), 4096)
  assert.match((await cryovm(["snapshot", "info", dir])).stdout, "which cannot be read")
})

test("a memory file that is missing is said to be", async ({ dir }) => {
  writeSample(dir)
  rmSync(join(dir, MEMORY_FILE))
  const { code, stdout } = await cryovm(["snapshot", "info", dir])
  assert.is(code, 0)
  assert.match(stdout, `${MEMORY_FILE}: MISSING`)
})

test("text in a snapshot cannot steer the terminal", async ({ dir }) => {
  writeSample(dir, "\u001b[2J\nfake: line\u202e")
  const { stdout } = await cryovm(["snapshot", "info", dir])
  assert.not.match(stdout, "\u001b")
  assert.not.match(stdout, "\u202e")
  assert.not.match(stdout, /^fake/m)
  assert.match(stdout, "\\u001b[2J\\u000afake: line\\u202e")
})

test("what is no snapshot, or a damaged one, is a typed error, for info and for restore", async ({ parent, dir }) => {
  const isCode = async (path: string, code: string) => assertFailure(await cryovm(["snapshot", "info", path]), code)
  await isCode(join(parent, "nothing"), "CRYOVM_SNAPSHOT_NOT_FOUND")
  await isCode(dir, "CRYOVM_SNAPSHOT_INCOMPLETE")
  writeFileSync(join(dir, STATE_FILE), "this is no state file, and long enough to see it".repeat(10))
  await isCode(dir, "CRYOVM_STATE_NOT_CRYOVM")
  writeSample(dir)
  truncateSync(join(dir, STATE_FILE), 100)
  await isCode(dir, "CRYOVM_STATE_TRUNCATED")
  writeSample(dir)
  const bytes = readFileSync(join(dir, STATE_FILE))
  bytes[200] = (bytes[200] ?? 0) ^ 1
  writeFileSync(join(dir, STATE_FILE), bytes)
  await isCode(dir, "CRYOVM_STATE_CORRUPT")
})

test("--json tells a failure as an object, beside the line on stderr", async ({ dir }) => {
  const ended = await cryovm(["snapshot", "info", dir, "--json"])
  assertFailure(ended, "CRYOVM_SNAPSHOT_INCOMPLETE")
  const { error } = JSON.parse(ended.stdout)
  assert.is(error.code, "CRYOVM_SNAPSHOT_INCOMPLETE")
  assert.type(error.message, "string")
  assert.ok(Array.isArray(error.causes))
})

test("--verbose tells what led to it", async ({ parent }) => {
  const { stderr } = await cryovm(["snapshot", "info", join(parent, "nothing"), "--verbose"])
  assert.match(stderr, /^ {2}caused by: ENOENT/m)
})

test("a snapshot that is there already is seen before a guest is booted", async ({ dir }) => {
  assertFailure(await cryovm(["run", "--exec", "true", "--snapshot-on-exit", dir]), "CRYOVM_SNAPSHOT_EXISTS")
})

test.run()
