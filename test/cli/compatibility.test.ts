/** `cryovm snapshot check` and `needs` anywhere; `cryovm host-profile` where KVM works. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import {
  formatHostProfile,
  formatSnapshotNeeds,
  type HostProfile,
  parseHostProfile,
  parseSnapshotNeeds,
} from "../../src/index.ts"
import { MEMORY_FILE, STATE_FILE } from "../../src/snapshot/bundle/bundle.ts"
import { encodeEnvelope } from "../../src/state/envelope.ts"
import { sampleEnvelope } from "../state/samples.ts"
import { sampleHost, sampleNeeds, withoutBits } from "../support/compatibility.ts"
import { kvmPath } from "../support/kvm.ts"
import { cryovm } from "./support.ts"

interface Context {
  folder: string
  needs: string
}

const test = suite<Context>("cryovm snapshot check", { folder: "", needs: "" })

test.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), "cryovm-cli-"))
  context.needs = join(context.folder, "needs.json")
  writeFileSync(context.needs, formatSnapshotNeeds(sampleNeeds()))
})
test.after.each(({ folder }) => rmSync(folder, { recursive: true, force: true }))

const hostFile = (folder: string, host: HostProfile): string => {
  const path = join(folder, "host.json")
  writeFileSync(path, formatHostProfile(host))
  return path
}

test("exits with 0 for what runs, and says so", async ({ folder, needs }) => {
  const host = hostFile(folder, sampleHost())
  const { code, stdout, stderr } = await cryovm(["snapshot", "check", needs, "--host", host])
  assert.is(code, 0, stderr)
  assert.is(stdout, `This snapshot runs on the host of ${host}.\n`)
  const { stdout: json } = await cryovm(["snapshot", "check", needs, "--host", host, "--json"])
  assert.equal(JSON.parse(json), { verdict: "runs", findings: [] })
})

test("exits with 0 for what runs with care, and tells of it", async ({ folder, needs }) => {
  const host = hostFile(folder, { ...sampleHost(), kernelRelease: "5.10.0" })
  const { code, stdout, stderr } = await cryovm(["snapshot", "check", needs, "--host", host])
  assert.is(code, 0, stderr)
  assert.match(stdout, /^This snapshot runs on the host of .+, with care:$/m)
  assert.match(stdout, /^ {2}care +host kernel +expected 6\.8\.12-3-generic or newer; found 5\.10\.0$/m)
})

test("exits with 1 for what will not run, with remedies", async ({ folder, needs }) => {
  const host = hostFile(folder, withoutBits(sampleHost(), 7, 0, "ebx", 1 << 5))
  const { code, stdout } = await cryovm(["snapshot", "check", needs, "--host", host])
  assert.is(code, 1)
  assert.match(stdout, /^This snapshot will not run on the host of /)
  assert.match(stdout, /^ {2}BLOCKER +AVX2 +expected AVX2 \(CPUID\.7\.0:EBX\[5\]\)/m)
  assert.match(stdout, /-> restore on a host whose KVM supports it/)
  const json = await cryovm(["snapshot", "check", needs, "--host", host, "--json"])
  assert.is(json.code, 1)
  const { verdict, findings } = JSON.parse(json.stdout)
  assert.is(verdict, "will-not-run")
  assert.equal(Object.keys(findings[0]).sort(), ["actual", "code", "expected", "remedy", "severity", "subject"])
})

test("a directory is looked at without its memory, and gives the needs that answer the same", async ({ folder }) => {
  const dir = join(folder, "snapshot")
  mkdirSync(dir)
  writeFileSync(join(dir, STATE_FILE), encodeEnvelope(sampleEnvelope()))
  const host = hostFile(folder, sampleHost())
  const direct = await cryovm(["snapshot", "check", dir, "--host", host, "--json"])
  assert.is(direct.code, 1)
  const { stdout } = await cryovm(["snapshot", "needs", dir])
  assert.is(parseSnapshotNeeds(stdout).memoryFile.name, MEMORY_FILE)
  const file = join(folder, "told.json")
  writeFileSync(file, stdout)
  rmSync(dir, { recursive: true })
  assert.equal(await cryovm(["snapshot", "check", file, "--host", host, "--json"]), direct)
})

test("files that are not what they should be are typed errors", async ({ folder, needs }) => {
  const host = hostFile(folder, sampleHost())
  const isCode = async (args: readonly string[], code: string) => {
    const ended = await cryovm(["snapshot", "check", ...args])
    assert.is(ended.code, 1)
    assert.match(ended.stderr, new RegExp(`^cryovm: .+ \\[${code}\\]\\n`))
  }
  await isCode([needs, "--host", needs], "CRYOVM_DOCUMENT_INVALID")
  await isCode([host, "--host", host], "CRYOVM_DOCUMENT_INVALID")
  await isCode([needs, "--host", join(folder, "none")], "ENOENT")
  await isCode([join(folder, "none"), "--host", host], "CRYOVM_SNAPSHOT_NOT_FOUND")
})

const withKvm = process.env["CRYOVM_SKIP_KVM"] === "1" ? test.skip : test

withKvm(`host-profile prints and writes this host's (needs ${kvmPath})`, async ({ folder }) => {
  const file = join(folder, "here.json")
  const { code, stdout, stderr } = await cryovm(["host-profile", "--output", file, "--json"])
  assert.is(code, 0, stderr)
  assert.is(stdout, readFileSync(file, "utf8"))
  assert.is(parseHostProfile(stdout).architecture, "x86_64")
  const table = await cryovm(["host-profile"])
  assert.is(table.code, 0)
  for (const field of ["processor", "kernel", "KVM", "TSC", "memory"])
    assert.match(table.stdout, new RegExp(`^${field} `, "m"))
})

test.run()
