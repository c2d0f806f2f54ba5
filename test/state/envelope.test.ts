import { createHash } from "node:crypto"
import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { StateDowngradeLossy, StateInvalid, StateVersionUnsupported } from "../../src/state/component.ts"
import {
  componentsOf,
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  FORMAT_VERSION,
  readHeader,
  type Section,
} from "../../src/state/envelope.ts"
import {
  StateCorrupt,
  StateFormatTooNew,
  StateNotCryovm,
  StateTooLarge,
  StateTruncated,
} from "../../src/state/envelope-errors.ts"
import type { MemoryDigests } from "../../src/state/memory-digests.ts"
import { encodeMsgpack } from "../../src/state/msgpack.ts"
import { forgeState } from "../support/forged-state.ts"
import { sampleEnvelope, sampleManifest, thrownBy } from "./samples.ts"

/** Of the current format. */
const HEADER_BYTES = readHeader(encodeEnvelope(sampleEnvelope())).headerLength

const errors = [
  StateCorrupt,
  StateFormatTooNew,
  StateInvalid,
  StateNotCryovm,
  StateTooLarge,
  StateTruncated,
  StateVersionUnsupported,
]
const isTyped = (error: unknown) => errors.some((each) => error instanceof each)

/** Changes the header and makes its digest right again, as a file of another version or an attacker would have it. */
const withHeader = (file: Uint8Array, change: (view: DataView) => void): Uint8Array => {
  const copy = file.slice()
  change(new DataView(copy.buffer))
  copy.set(
    createHash("sha256")
      .update(copy.subarray(0, HEADER_BYTES - 32))
      .digest(),
    HEADER_BYTES - 32,
  )
  return copy
}

const name = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 })
const section: fc.Arbitrary<Section> = fc
  .record({
    name,
    kind: name,
    version: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    optional: fc.boolean(),
    payload: fc.uint8Array({ maxLength: 500 }),
  })
  .map(({ optional, ...rest }) => ({ ...rest, ...(optional && { optional: true as const }) }))

test("what is written is read back, and written again gives the same bytes", () => {
  fc.assert(
    fc.property(fc.array(section, { maxLength: 10 }), (sections) => {
      const manifest = sampleManifest(sections)
      const file = encodeEnvelope({ formatVersion: FORMAT_VERSION, manifest, sections })
      const decoded = decodeEnvelope(file)
      assert.equal(decoded.manifest, manifest)
      assert.equal(decoded.sections, sections)
      assert.is(decoded.header.fileLength, file.length)
      assert.equal(encodeEnvelope(decoded), file)
    }),
  )
})

test("the order in which fields were put together does not matter", () => {
  const { manifest, sections } = sampleEnvelope()
  const turned = Object.fromEntries(Object.entries(manifest).reverse()) as typeof manifest
  assert.equal(encodeEnvelope({ manifest: turned, sections }), encodeEnvelope({ manifest, sections }))
})

const memoryDigests: MemoryDigests = {
  algorithm: "xxh3-128-pages",
  chunkBytes: 4096,
  digests: new Uint8Array(32).fill(7),
}
const parent = { id: "5f0c0f2e-7c55-4f0f-8f0b-5a6a3c2d1e0f", digest: "0123456789abcdef".repeat(4) }

/** One of everything that the current format has a place for. */
const childEnvelope = (): Envelope => {
  const { manifest, sections } = sampleEnvelope()
  const memory = { ...manifest.memory, diff: { tableOffset: 4096, runs: 1 } }
  return { manifest: { ...manifest, type: "diff", parent, memory }, sections, memoryDigests }
}

const HEADER_LENGTHS = [124, 164, 228]

for (const [index, headerLength] of HEADER_LENGTHS.entries()) {
  const formatVersion = index + 1
  test(`the header of format ${formatVersion} is where it is documented to be`, () => {
    const envelope = formatVersion === 3 ? childEnvelope() : sampleEnvelope()
    const withDigests = formatVersion === 2 ? { ...envelope, memoryDigests } : envelope
    const file = encodeEnvelope({ ...withDigests, formatVersion })
    const view = new DataView(file.buffer, file.byteOffset)
    const hex = (at: number, length: number) => Buffer.from(file.subarray(at, at + length)).toString("hex")
    const digest = (from: number, to: number) => createHash("sha256").update(file.subarray(from, to)).digest("hex")
    assert.is(hex(0, 8), "894352590d0a1a0a")
    assert.is(view.getUint32(8, true), formatVersion)
    assert.is(view.getUint32(12, true), headerLength)
    const sectionsAt = headerLength + view.getUint32(16, true)
    const digestsAt = sectionsAt + Number(view.getBigUint64(20, true))
    assert.is(hex(28, 32), digest(headerLength, sectionsAt))
    assert.is(hex(60, 32), digest(sectionsAt, digestsAt))
    if (formatVersion >= 2) {
      assert.is(view.getBigUint64(92, true), BigInt(file.length - digestsAt))
      assert.is(hex(100, 32), digest(digestsAt, file.length))
    } else assert.is(digestsAt, file.length)
    if (formatVersion >= 3) {
      assert.is(hex(132, 16), envelope.manifest.id.replaceAll("-", ""))
      assert.is(hex(148, 16), parent.id.replaceAll("-", ""))
      assert.is(hex(164, 32), parent.digest)
    }
    assert.is(hex(headerLength - 32, 32), digest(0, headerLength - 32))
    const { header, ...decoded } = decodeEnvelope(file)
    assert.is(header.digest, hex(headerLength - 32, 32))
    assert.equal(header.lineage, formatVersion === 3 ? { id: envelope.manifest.id, parent } : undefined)
    assert.equal(decoded.manifest, withDigests.manifest)
    assert.equal(decoded.memoryDigests, formatVersion === 1 ? undefined : memoryDigests)
    assert.is(decoded.manifestVersion, formatVersion === 3 ? 3 : 2)
  })
}

test("a manifest that was decoded before is the same value, which nobody can change, and is checked all the same", () => {
  const file = encodeEnvelope(sampleEnvelope())
  const { header, manifest } = decodeEnvelope(file)
  assert.is(decodeEnvelope(file).manifest, manifest)
  assert.instance(
    thrownBy(() => Object.assign(manifest.memory, { size: 1 })),
    TypeError,
  )
  const at = header.headerLength + 9
  file[at]! ^= 1
  assert.instance(
    thrownBy(() => decodeEnvelope(file)),
    StateCorrupt,
  )
  const large = sampleManifest()
  const label = "x".repeat(2 ** 17)
  const other = encodeEnvelope({ ...sampleEnvelope(), manifest: { ...large, machine: { ...large.machine, label } } })
  assert.is.not(decodeEnvelope(other).manifest, decodeEnvelope(other).manifest)
})

test("an older format takes nothing that it would lose", () => {
  for (const [envelope, formatVersion] of [
    [childEnvelope(), 2],
    [childEnvelope(), 1],
    [{ ...sampleEnvelope(), memoryDigests }, 1],
  ] as const) {
    assert.instance(
      thrownBy(() => encodeEnvelope({ ...envelope, formatVersion })),
      StateDowngradeLossy,
    )
  }
})

test("digests that do not fit the memory file, and a header of another lineage, are refused", () => {
  const few = { ...memoryDigests, digests: new Uint8Array(16) }
  const file = encodeEnvelope({ ...childEnvelope(), memoryDigests: few })
  assert.match(thrownBy(() => decodeEnvelope(file)).message, /16 bytes; the memory file has chunks for 32/)
  for (const at of [132, 148, 164]) {
    const forged = withHeader(encodeEnvelope(childEnvelope()), (view) => view.setUint8(at, view.getUint8(at) ^ 1))
    assert.match(thrownBy(() => decodeEnvelope(forged)).message, /another snapshot or parent than the header/)
  }
})

test("every cut is refused as such", () => {
  const file = encodeEnvelope(childEnvelope())
  for (let length = 0; length < file.length; length++) {
    const error = thrownBy(() => decodeEnvelope(file.subarray(0, length)))
    assert.instance(error, length === 0 ? StateNotCryovm : StateTruncated, `${length} bytes: ${error._tag}`)
  }
})

test("every flipped bit is refused with a typed error", () => {
  const file = encodeEnvelope(childEnvelope())
  for (let bit = 0; bit < file.length * 8; bit++) {
    const copy = file.slice()
    copy[bit >> 3]! ^= 1 << (bit & 7)
    assert.ok(isTyped(thrownBy(() => decodeEnvelope(copy))), `bit ${bit}`)
  }
})

test("bytes after the end are refused", () => {
  const file = encodeEnvelope(sampleEnvelope())
  const error = thrownBy(() => decodeEnvelope(Buffer.concat([file, Uint8Array.of(0)])))
  assert.instance(error, StateCorrupt)
  assert.is((error as StateCorrupt).part, "end")
})

test("random bytes, with and without the magic, are refused with a typed error", () => {
  const magic = encodeEnvelope(sampleEnvelope()).subarray(0, 8)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, begin) => {
      assert.ok(isTyped(thrownBy(() => decodeEnvelope(begin ? Buffer.concat([magic, bytes]) : bytes))))
    }),
    { numRuns: 5000 },
  )
})

test("a right digest over hostile msgpack does not help", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 }), (manifest, sections) => {
      const file = forgeState(1, manifest, sections)
      assert.ok(isTyped(thrownBy(() => decodeEnvelope(file))))
    }),
  )
  const deep = new Uint8Array(1_000_000).fill(0x91)
  const file = forgeState(1, deep, deep)
  assert.instance(
    thrownBy(() => decodeEnvelope(file)),
    StateInvalid,
  )
})

test("files copied as text are recognised", () => {
  const file = encodeEnvelope(sampleEnvelope())
  const asText = Buffer.from(Buffer.from(file).toString("latin1").replaceAll("\r\n", "\n"), "latin1")
  assert.match(thrownBy(() => decodeEnvelope(asText)).message, /copied as text/)
  const sevenBits = file.map((byte) => byte & 0x7f)
  assert.match(thrownBy(() => decodeEnvelope(sevenBits)).message, /copied as text/)
  assert.match(thrownBy(() => decodeEnvelope(Buffer.from("#!/bin/sh\n"))).message, /does not begin as one/)
  assert.match(thrownBy(() => decodeEnvelope(new Uint8Array(0))).message, /empty/)
})

test("claimed lengths are limited before anything is read", () => {
  const file = encodeEnvelope(sampleEnvelope())
  const huge = withHeader(file, (view) => view.setBigUint64(20, 2n ** 64n - 1n, true))
  assert.instance(
    thrownBy(() => readHeader(huge)),
    StateTooLarge,
  )
  const manifest = withHeader(file, (view) => view.setUint32(16, 2 ** 32 - 1, true))
  assert.instance(
    thrownBy(() => readHeader(manifest)),
    StateTooLarge,
  )
  const header = withHeader(file, (view) => view.setUint32(12, 2 ** 32 - 1, true))
  assert.instance(
    thrownBy(() => readHeader(header)),
    StateCorrupt,
  )
  const none = withHeader(file, (view) => view.setUint32(8, 0, true))
  assert.instance(
    thrownBy(() => readHeader(none)),
    StateCorrupt,
  )
})

test("what is too large to be read is not written", () => {
  const sections: Section[] = [{ name: "a", kind: "a", version: 1, payload: new Uint8Array(64 * 1024 * 1024) }]
  assert.instance(
    thrownBy(() => encodeEnvelope({ manifest: sampleManifest(sections), sections })),
    StateTooLarge,
  )
})

test("a newer format is refused with both versions and who wrote it, whatever follows its sections", () => {
  const file = withHeader(encodeEnvelope(sampleEnvelope()), (view) => view.setUint32(8, 9, true))
  for (const bytes of [file, Buffer.concat([file, Buffer.from("a part of format 9")])]) {
    const error = thrownBy(() => decodeEnvelope(bytes)) as StateFormatTooNew
    assert.instance(error, StateFormatTooNew)
    assert.is(error.formatVersion, 9)
    assert.is(error.readableVersion, FORMAT_VERSION)
    assert.equal(error.producer, { name: "cryovm", version: "0.1.0" })
    assert.match(error.message, /format version 9, written by cryovm 0\.1\.0; this release reads up to 3/)
  }
})

test("a newer format with a longer header and an unreadable manifest is still refused for its version", () => {
  const head = Buffer.alloc(300)
  const manifest = Buffer.from("not msgpack at all")
  head.set(forgeState(7, manifest, new Uint8Array(0)).subarray(0, HEADER_BYTES))
  head.writeUInt32LE(300, 12)
  head.set(createHash("sha256").update(head.subarray(0, 268)).digest(), 268)
  const error = thrownBy(() => decodeEnvelope(Buffer.concat([head, manifest]))) as StateFormatTooNew
  assert.instance(error, StateFormatTooNew)
  assert.is(error.producer, undefined)
})

test("a newer manifest in a known format is refused with who wrote it", () => {
  const payload = encodeMsgpack({ producer: { name: "cryovm", version: "9.0.0" }, news: true })
  const manifest = encodeMsgpack({ version: 99, payload })
  const sections = encodeMsgpack([])
  const error = thrownBy(() => decodeEnvelope(forgeState(1, manifest, sections)))
  assert.instance(error, StateVersionUnsupported)
  assert.match(error.message, /version 99, written by cryovm 9\.0\.0/)
})

test("other format versions are not written", () => {
  for (const formatVersion of [0, FORMAT_VERSION + 1, 1.5, Number.NaN]) {
    assert.instance(
      thrownBy(() => encodeEnvelope({ ...sampleEnvelope(), formatVersion })),
      StateVersionUnsupported,
    )
  }
})

test("a manifest that tells of other sections is refused on writing and on reading", () => {
  const { manifest, sections } = sampleEnvelope()
  const [first, ...others] = sections
  for (const wrong of [others, [...sections, first!], [{ ...first!, version: 2 }, ...others], []]) {
    assert.instance(
      thrownBy(() => encodeEnvelope({ manifest, sections: wrong })),
      StateInvalid,
    )
  }
  const file = encodeEnvelope({ manifest, sections })
  const { manifestLength } = readHeader(file)
  const manifestBytes = file.subarray(HEADER_BYTES, HEADER_BYTES + manifestLength)
  const forged = forgeState(FORMAT_VERSION, manifestBytes, encodeMsgpack(others))
  assert.match(thrownBy(() => decodeEnvelope(forged)).message, /not the sections of the file/)
  assert.equal(componentsOf(sections), manifest.components)
})

test("a file inside a larger buffer is read where it is", () => {
  const file = encodeEnvelope(sampleEnvelope())
  const buffer = new Uint8Array(file.length + 32)
  buffer.set(file, 13)
  assert.equal(decodeEnvelope(buffer.subarray(13, 13 + file.length)), decodeEnvelope(file))
})

test.run()
