import * as Schema from "effect/Schema"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { component, StateInvalid, StateVersionUnsupported } from "../../src/state/component.ts"
import { U8 } from "../../src/state/primitives.ts"
import {
  checkSections,
  decodeSection,
  encodeSection,
  makeRegistry,
  reviewSections,
  SectionsUnsupported,
} from "../../src/state/registry.ts"
import { Counter, thrownBy } from "./samples.ts"

const LampV1 = component("lamp", Schema.Struct({ on: Schema.Boolean }))
const Lamp = LampV1.evolve(Schema.Struct({ level: U8 }), {
  up: ({ on }) => ({ level: on ? 255 : 0 }),
  down: ({ level }) => ({ on: level > 0 }),
})
const registry = makeRegistry([Lamp, Counter])
const entry = (name: string, kind: string, version: number, optional?: true) => ({
  name,
  kind,
  version,
  ...(optional && { optional }),
})

test("components are found by kind", () => {
  assert.is(registry.get("lamp"), Lamp)
  assert.is(registry.get("radio"), undefined)
  assert.equal(
    registry.components.map(({ kind }) => kind),
    ["counter", "lamp"],
  )
  assert.throws(() => makeRegistry([Lamp, LampV1]), /two components of kind lamp/)
})

test("sections come back as they were, older ones migrated", () => {
  const section = encodeSection("lamp0", Lamp, { level: 9 })
  assert.equal([section.name, section.kind, section.version, section.optional], ["lamp0", "lamp", 2, undefined])
  assert.equal(decodeSection(Lamp, section), { level: 9 })
  assert.equal(decodeSection(Lamp, encodeSection("lamp0", LampV1, { on: true })), { level: 255 })
  assert.equal(decodeSection(LampV1, encodeSection("lamp0", Lamp, { level: 9 }, { version: 1 })), { on: true })
  assert.is(encodeSection("lamp0", Lamp, { level: 9 }, { optional: true }).optional, true)
})

test("a section is not read as another kind, nor by an older component", () => {
  const section = encodeSection("lamp0", Lamp, { level: 9 })
  assert.instance(
    thrownBy(() => decodeSection(Counter, section)),
    StateInvalid,
  )
  assert.instance(
    thrownBy(() => decodeSection(LampV1, section)),
    StateVersionUnsupported,
  )
})

test("all problems are told at once", () => {
  const sections = [
    entry("lamp0", "lamp", 2),
    entry("lamp0", "lamp", 2),
    entry("lamp1", "lamp", 3),
    entry("radio0", "radio", 1),
    entry("counter0", "lamp", 1),
  ]
  const expected = [
    { name: "counter0", kind: "counter" },
    { name: "counter1", kind: "counter" },
  ]
  const error = thrownBy(() => checkSections(registry, sections, expected)) as SectionsUnsupported
  assert.instance(error, SectionsUnsupported)
  assert.equal(
    error.problems.map(({ reason, name, kind, version }) => [reason, name, kind, version]),
    [
      ["duplicate", "lamp0", "lamp", 2],
      ["too-new", "lamp1", "lamp", 3],
      ["unknown-kind", "radio0", "radio", 1],
      ["wrong-kind", "counter0", "lamp", 1],
      ["missing", "counter1", "counter", undefined],
    ],
  )
  for (const { message } of error.problems) assert.ok(error.message.includes(message))
})

test("optional sections that are not known are ignored, unless the machine needs them", () => {
  const sections = [entry("lamp0", "lamp", 1), entry("radio0", "radio", 1, true), entry("lamp1", "lamp", 3, true)]
  const { known, ignored } = checkSections(registry, sections)
  assert.equal(known, [sections[0]])
  assert.equal(ignored, [sections[1], sections[2]])
  const needed = [
    { name: "radio0", kind: "radio" },
    { name: "lamp1", kind: "lamp" },
  ]
  assert.equal(
    reviewSections(registry, sections, needed).problems.map(({ reason }) => reason),
    ["unknown-kind", "too-new"],
  )
})

test("an optional section of a known version is read like any other", () => {
  const section = entry("lamp0", "lamp", 2, true)
  assert.equal(checkSections(registry, [section]).known, [section])
})

test.run()
