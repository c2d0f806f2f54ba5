// time limit: 300 s
// runs alone
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { readStateFile } from "../../src/snapshot/bundle/bundle.ts"
import { encodeEnvelope } from "../../src/state/envelope.ts"
import { sha256 } from "../../src/state/envelope-header.ts"
import { exchange } from "../support/exchange.ts"
import { kvmTest } from "../support/kvm.ts"
import { holdings, residentSet } from "../support/process.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { everyDeviceMachine } from "../support/tiny-kernel.ts"

const MIB = 2 ** 20

interface Sample {
  readonly dir: string
  readonly state: Uint8Array
}

const makeSample = async (dir: string): Promise<Sample> => {
  await using vm = await MicroVm.create(everyDeviceMachine)
  await vm.start()
  await exchange(vm, "ab")
  await vm.snapshot({ dir })
  return { dir, state: new Uint8Array(readFileSync(join(dir, "state.cryo"))) }
}

/** The typed error that a restore ends in; anything else fails the test. */
const refusal = async (dir: string): Promise<{ readonly _tag: string; readonly code: string }> => {
  const result = await MicroVm.restore(dir).then(
    async (vm) => {
      await vm.stop()
      throw new Error("a damaged snapshot was restored")
    },
    (error: { readonly _tag: string; readonly code: string; readonly message: string }) => error,
  )
  assert.match(String(result.code), /^CRYOVM_/, `no typed error: ${String(result)}`)
  return result
}

/** Writes a state file whose digests are right, from a changed manifest or changed sections. */
const rewritten = async (sample: Sample, change: (decoded: Parameters<typeof encodeEnvelope>[0]) => object) => {
  const { manifest, sections } = await Effect.runPromise(readStateFile(sample.dir))
  return encodeEnvelope({ manifest, sections, ...change({ manifest, sections }) })
}

/** Format version in the header, with the header's digest made right again. */
const withFormatVersion = (state: Uint8Array, version: number): Uint8Array => {
  const bytes = state.slice()
  const view = new DataView(bytes.buffer)
  view.setUint32(8, version, true)
  const headerLength = view.getUint32(12, true)
  bytes.set(sha256(bytes.subarray(0, headerLength - 32)), headerLength - 32)
  return bytes
}

kvmTest("every kind of damage has its typed error", async () => {
  using scratch = temporaryDirectory()
  const sample = await makeSample(join(scratch.path, "sample"))
  const broken = join(scratch.path, "broken")
  mkdirSync(broken)
  const statePath = join(broken, "state.cryo")
  const memoryPath = join(broken, "memory.img")
  copyFileSync(join(sample.dir, "memory.img"), memoryPath)
  const tagOf = async (state: Uint8Array): Promise<string> => {
    writeFileSync(statePath, state)
    return (await refusal(broken))._tag
  }

  assert.is((await refusal(join(scratch.path, "none")))._tag, "SnapshotNotFound")
  assert.is((await refusal(broken))._tag, "SnapshotIncomplete")
  assert.is(await tagOf(new Uint8Array(0)), "StateNotCryovm")
  assert.is(await tagOf(new Uint8Array(5000)), "StateNotCryovm")
  assert.is(await tagOf(sample.state.subarray(0, 60)), "StateTruncated")
  assert.is(await tagOf(sample.state.subarray(0, sample.state.length - 1)), "StateTruncated")
  const flipped = sample.state.slice()
  flipped[flipped.length - 10] = (flipped.at(-10) ?? 0) ^ 1
  assert.is(await tagOf(flipped), "StateCorrupt")
  assert.is(await tagOf(withFormatVersion(sample.state, 999)), "StateFormatTooNew")

  const foreign = await rewritten(sample, ({ manifest }) => ({ manifest: { ...manifest, architecture: "aarch64" } }))
  assert.is(await tagOf(foreign), "SnapshotArchitectureMismatch")
  const unknown = await rewritten(sample, ({ manifest, sections }) => {
    const added = { name: "gpu0", kind: "virtio-gpu", version: 1, payload: new Uint8Array([0x80]) }
    const { name, kind, version } = added
    return {
      sections: [...sections, added],
      manifest: { ...manifest, components: [...manifest.components, { name, kind, version }] },
    }
  })
  assert.is(await tagOf(unknown), "SectionsUnsupported")
  const swapped = await rewritten(sample, ({ sections }) => ({
    sections: sections.map((section) =>
      section.name === "vm" ? { ...section, payload: new Uint8Array([0x80]) } : section,
    ),
  }))
  assert.is(await tagOf(swapped), "StateInvalid")
  const smaller = await rewritten(sample, ({ manifest }) => {
    const regions = manifest.memory.regions.map((region) => ({ ...region, size: 16 * MIB }))
    return { manifest: { ...manifest, memory: { ...manifest.memory, regions } } }
  })
  assert.is(await tagOf(smaller), "SnapshotInconsistent")

  writeFileSync(statePath, sample.state)
  truncateSync(memoryPath, 31 * MIB)
  assert.is((await refusal(broken))._tag, "MemoryFileInvalid")
  rmSync(memoryPath)
  assert.is((await refusal(broken))._tag, "MemoryFileInvalid")
  symlinkSync("/dev/zero", memoryPath)
  assert.is((await refusal(broken))._tag, "MemoryFileInvalid")
})

kvmTest("a thousand damaged snapshots map nothing and leave nothing behind", async () => {
  using scratch = temporaryDirectory()
  const sample = await makeSample(join(scratch.path, "sample"))
  const broken = join(scratch.path, "broken")
  mkdirSync(broken)
  copyFileSync(join(sample.dir, "memory.img"), join(broken, "memory.img"))
  const attempt = async (round: number): Promise<void> => {
    const bytes = round % 3 === 0 ? sample.state.slice(0, (round * 37) % sample.state.length) : sample.state.slice()
    // A place that moves over the whole file, and another bit each time around.
    const place = (round * 7919) % sample.state.length
    if (place < bytes.length) bytes[place] = (bytes[place] ?? 0) ^ (1 << (round % 8))
    writeFileSync(join(broken, "state.cryo"), bytes)
    await refusal(broken)
  }
  for (let round = 0; round < 100; round++) await attempt(round)
  const before = await holdings()
  const residentBefore = residentSet()
  for (let round = 100; round < 1100; round++) await attempt(round)
  assert.equal(await holdings(), before)
  const growth = residentSet() - residentBefore
  assert.ok(growth < 64 * MIB, `resident set grew by ${growth} bytes over 1,000 tries`)
})

kvmTest("states with right digests and wrong content never crash, hang or stay", async () => {
  using scratch = temporaryDirectory()
  const sample = await makeSample(join(scratch.path, "sample"))
  const broken = join(scratch.path, "broken")
  mkdirSync(broken)
  copyFileSync(join(sample.dir, "memory.img"), join(broken, "memory.img"))
  const { manifest, sections } = await Effect.runPromise(readStateFile(sample.dir))
  const attempt = async (round: number): Promise<void> => {
    const victim = round % sections.length
    const damaged = sections.map((section, index) => {
      if (index !== victim) return section
      const payload = section.payload.slice()
      for (let flips = 0; flips < 4; flips++) {
        const place = (round * 7919 + flips * 104729) % payload.length
        payload[place] = (payload[place] ?? 0) ^ (1 << ((round + flips) % 8))
      }
      return { ...section, payload }
    })
    writeFileSync(join(broken, "state.cryo"), encodeEnvelope({ manifest, sections: damaged }))
    // Some of this is a machine that could have been: it may be restored, and then is only stopped again.
    const vm = await MicroVm.restore(broken).catch((error: { readonly code: string }) => {
      assert.match(String(error.code), /^CRYOVM_/, String(error))
      return undefined
    })
    await vm?.stop()
  }
  for (let round = 0; round < 20; round++) await attempt(round)
  const before = await holdings()
  for (let round = 20; round < 220; round++) await attempt(round)
  assert.equal(await holdings(), before)
})

test.run()
