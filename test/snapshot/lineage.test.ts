// time limit: 120 s
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import * as effects from "../../src/effect.ts"
import { type LineageNode, snapshotLineage } from "../../src/index.ts"
import { STATE_FILE } from "../../src/snapshot/bundle/bundle.ts"
import { temporaryPath } from "../../src/snapshot/bundle/temporary.ts"
import { type Place, type Placeable, placeAll } from "../../src/snapshot/chain/forest.ts"
import { encodeEnvelope, FORMAT_VERSION } from "../../src/state/envelope.ts"
import { sampleManifest } from "../state/samples.ts"
import { type HandMade, regionsOf, writeDiff, writeFull } from "../support/diff-chain.ts"
import { forgeState } from "../support/forged-state.ts"
import { temporaryDirectory } from "../support/temporary.ts"

/** Few digests for many snapshots: copies, circles, and parents that are not there. */
const digest = fc.nat({ max: 30 }).map(String)
const placeable: fc.Arbitrary<Placeable> = fc.record({
  digest: fc.option(digest, { freq: 10 }),
  parent: fc.option(fc.record({ digest, name: fc.option(fc.constantFrom("a", "b", "c"), { nil: undefined }) }), {
    freq: 8,
  }),
  name: fc.constantFrom("a", "b", "c", "d"),
})

/** How many there are above each; fails where there is no end to them. */
const depthOf = (places: readonly Place[], index: number): number => {
  let depth = 0
  for (let place = places[index]; place !== undefined && "under" in place; place = places[place.under]) {
    depth += 1
    assert.ok(depth < places.length)
  }
  return depth
}

/** The snapshot that one wants to be under: of its parent's digest, and of the name that it had if there is one such. */
const wantedBy = (snapshots: readonly Placeable[], { parent }: Placeable): number => {
  const isParent = (each: Placeable) => parent !== null && each.digest === parent.digest
  const named = snapshots.findIndex((each) => isParent(each) && each.name === parent?.name)
  return named === -1 ? snapshots.findIndex(isParent) : named
}

test("every snapshot has one place: under its parent, or at the top for a reason", () => {
  fc.assert(
    fc.property(fc.array(placeable, { maxLength: 40 }), (snapshots) => {
      const places = placeAll(snapshots)
      assert.is(places.length, snapshots.length)
      const wanted = snapshots.map((each) => wantedBy(snapshots, each))
      const comesBack = (start: number): boolean => {
        let at = wanted[start] ?? -1
        for (let steps = 0; steps < snapshots.length && at !== -1 && at !== start; steps++) at = wanted[at] ?? -1
        return at === start
      }
      for (const [index, place] of places.entries()) {
        depthOf(places, index)
        if ("under" in place) assert.is(place.under, wanted[index])
        else if (place.top === "full") assert.is(snapshots[index]?.parent, null)
        else if (place.top === "parent missing") assert.is(wanted[index], -1)
        else assert.ok(comesBack(index))
      }
    }),
    { numRuns: 2000 },
  )
})

test("what forms no circle is never cut, however it is ordered", () => {
  const order = fc.shuffledSubarray(
    Array.from({ length: 60 }, (_, index) => index),
    { minLength: 60 },
  )
  fc.assert(
    fc.property(order, fc.array(fc.nat(), { minLength: 60, maxLength: 60 }), (shuffled, parents) => {
      // Each one's parent is older than it is.
      const snapshots = shuffled.map(
        (age): Placeable => ({
          digest: String(age),
          parent: age === 0 ? null : { digest: String((parents[age] ?? 0) % age), name: undefined },
          name: String(age),
        }),
      )
      const places = placeAll(snapshots)
      places.forEach((place, index) => {
        if (snapshots[index]?.parent === null) assert.equal(place, { top: "full" })
        else assert.ok("under" in place && snapshots[place.under]?.digest === snapshots[index]?.parent?.digest)
      })
    }),
  )
})

test("one that is its own parent, and a circle, are opened", () => {
  const of = (own: string, parent: string): Placeable => ({
    digest: own,
    parent: { digest: parent, name: undefined },
    name: own,
  })
  assert.equal(placeAll([of("a", "a")]), [{ top: "chain too long" }])
  const places = placeAll([of("a", "b"), of("b", "c"), of("c", "b"), of("d", "a")])
  assert.equal(places, [{ under: 1 }, { under: 2 }, { top: "chain too long" }, { under: 0 }])
})

test("a chain that is longer than can be opened is shown in parts", () => {
  const snapshots = Array.from(
    { length: 1000 },
    (_, index): Placeable => ({
      digest: String(index),
      parent: index === 0 ? null : { digest: String(index - 1), name: undefined },
      name: String(index),
    }),
  )
  for (const order of [snapshots, snapshots.toReversed()]) {
    const places = placeAll(order)
    const depths = places.map((_, index) => depthOf(places, index))
    assert.is(Math.max(...depths), 255)
    assert.is(places.filter((place) => "top" in place && place.top === "chain too long").length, 3)
  }
})

test("a hundred thousand of one chain, all in a circle, are placed", () => {
  const count = 100_000
  const snapshots = Array.from(
    { length: count },
    (_, index): Placeable => ({
      digest: String(index),
      parent: { digest: String((index + 1) % count), name: undefined },
      name: "",
    }),
  )
  assert.is(placeAll(snapshots).length, count)
})

const regions = regionsOf(2)
const labelled = (label: string, second: number) => {
  const manifest = sampleManifest()
  const createdAt = `2026-01-31T12:00:${String(second).padStart(2, "0")}.000Z`
  return { manifest: { ...manifest, createdAt, machine: { ...manifest.machine, label } } }
}

/** Labels, or names of directories where there is none, and in parentheses the codes of problems. */
const outline = (nodes: readonly LineageNode[]): readonly unknown[] =>
  nodes.map(({ dir, label, children, problem }) => {
    const name = `${label ?? dir.split("/").at(-1)}${problem === undefined ? "" : ` (${problem.code})`}`
    return children.length === 0 ? name : [name, ...outline(children)]
  })

const diffOf = (parent: HandMade, dir: string, label: string, second: number): HandMade => {
  const { manifest } = labelled(label, second)
  return writeDiff(dir, parent, new Map([[0, second]]), { manifest: { ...manifest, memory: parent.manifest.memory } })
}

test("the snapshots of a folder, with what is in its way", async () => {
  using scratch = temporaryDirectory()
  const at = (name: string) => join(scratch.path, name)
  const base = writeFull(at("z-base"), regions, new Map([[0, 1]]), labelled("base", 0))
  const left = diffOf(base, at("left"), "left", 2)
  diffOf(base, at("right"), "right", 1)
  const deep = diffOf(left, at("deep"), "deep", 3)
  // A copy: the children stay with the one that they name.
  cpSync(left.dir, at("a-copy"), { recursive: true })
  const gone = diffOf(base, at("gone"), "gone", 4)
  diffOf(gone, at("orphan"), "orphan", 5)
  rmSync(gone.dir, { recursive: true })
  const changed = diffOf(base, at("changed"), "changed", 6)
  diffOf(changed, at("child-of-changed"), "child of changed", 7)
  const manifest = { ...changed.manifest, createdAt: "2026-02-01T12:00:00.000Z" }
  writeFileSync(join(changed.dir, STATE_FILE), encodeEnvelope({ manifest, sections: changed.sections }))
  // Of a later format: of its lineage the header tells, and of nothing else.
  mkdirSync(at("newer"))
  const id = "5b0f3a52-8f3b-4c8e-9d46-0d9a3f0c2b11"
  const lineage = { id, parent: { id: deep.manifest.id, digest: deep.digest } }
  const newer = forgeState(FORMAT_VERSION + 1, Uint8Array.of(0x80), Uint8Array.of(0x90), new Uint8Array(0), lineage)
  writeFileSync(join(at("newer"), STATE_FILE), newer)
  mkdirSync(at("damaged"))
  writeFileSync(join(at("damaged"), STATE_FILE), left.state.subarray(0, 100))
  mkdirSync(at("no-snapshot"))
  writeFileSync(at("file"), "")
  cpSync(base.dir, temporaryPath(at("unfinished")), { recursive: true })

  const nodes = await snapshotLineage(scratch.path)
  assert.equal(outline(nodes), [
    ["base", "right", "left", ["left", ["deep", "newer (CRYOVM_STATE_FORMAT_TOO_NEW)"]], "changed"],
    "orphan (CRYOVM_PARENT_MISSING)",
    "child of changed (CRYOVM_PARENT_MISMATCH)",
    "damaged (CRYOVM_STATE_TRUNCATED)",
  ])
  assert.equal(await Effect.runPromise(effects.snapshotLineage(scratch.path)), nodes)

  const [root, , , damaged] = nodes
  assert.is(root?.dir, base.dir)
  assert.is(root?.id, base.manifest.id)
  assert.is(root?.digest, base.digest)
  assert.is(root?.type, "full")
  assert.is(root?.parent, null)
  assert.is(root?.createdAt, "2026-01-31T12:00:00.000Z")
  assert.is(root?.formatVersion, FORMAT_VERSION)
  assert.is(root?.memoryBytes, 8192)
  assert.ok((root?.diskBytes.state ?? 0) > 0)
  assert.ok((root?.diskBytes.memory ?? 0) > 0)
  const seen = root?.children[2]?.children[0]?.children[0]
  assert.equal(
    { ...seen, diskBytes: 0, problem: undefined, children: 0 },
    {
      dir: at("newer"),
      id,
      digest: seen?.digest,
      type: "diff",
      parent: lineage.parent,
      createdAt: null,
      label: null,
      formatVersion: FORMAT_VERSION + 1,
      memoryBytes: null,
      diskBytes: 0,
      problem: undefined,
      children: 0,
    },
  )
  assert.is(seen?.problem?.part, "manifest")
  assert.is(damaged?.digest, null)
  assert.is(damaged?.problem?.part, "state file")
})

test("snapshots of older formats are full", async () => {
  using scratch = temporaryDirectory()
  const sample = sampleManifest()
  const manifest = { ...sample, host: { ...sample.host, cryovm: null } }
  const older = writeFull(join(scratch.path, "older"), regions, new Map(), { manifest, formatVersion: 1 })
  writeDiff(join(scratch.path, "diff"), older, new Map())
  const [node] = await snapshotLineage(scratch.path)
  assert.is(node?.id, older.manifest.id)
  assert.is(node?.type, "full")
  assert.is(node?.formatVersion, 1)
  assert.is(node?.children.length, 1)
})

test("a folder that is not there, and one that is empty", async () => {
  using scratch = temporaryDirectory()
  assert.equal(await snapshotLineage(scratch.path), [])
  const error = await snapshotLineage(join(scratch.path, "nothing")).catch((cause: unknown) => cause)
  assert.is((error as { code?: string }).code, "CRYOVM_SNAPSHOT_READ_FAILED")
  assert.match((error as Error).message, "nothing")
})

test.run()
