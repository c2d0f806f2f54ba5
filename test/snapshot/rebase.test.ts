/** Chains made by hand, rebased. None of it needs KVM. */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import { exportMemory, flatten, rebase, verifySnapshot } from "../../src/index.ts"
import { readStateFile } from "../../src/snapshot/bundle/bundle.ts"
import { flatMemory, type HandMade, type Pages, regionsOf, writeFull } from "../support/diff-chain.ts"
import { failureOf } from "../support/failure.ts"
import { flipBit, regions, sealedDiff, sealedFull } from "../support/sealed-chain.ts"
import { type ChainOfThree, chainOfThree } from "../support/sealed-chain-of-three.ts"
import { temporaryDirectory } from "../support/temporary.ts"

interface Context extends ChainOfThree {
  path: string
  scratch: ReturnType<typeof temporaryDirectory>
}

const test = suite<Context>("rebase")

test.before.each(async (context) => {
  const scratch = temporaryDirectory()
  Object.assign(context, { scratch, path: scratch.path }, await chainOfThree(scratch.path))
})
test.after.each(({ scratch }) => scratch[Symbol.dispose]())

const stateOf = (dir: string) => Effect.runPromise(readStateFile(dir))

let exported = 0

/** All of a snapshot's memory, as it is restored. */
const memoryOf = async (dir: string, under: string): Promise<Buffer> => {
  const file = join(under, `memory-${exported++}`)
  await exportMemory(dir, file)
  return readFileSync(file)
}

test("onto the base: one layer of all in between, of only the pages that differ", async (context) => {
  const { path, base, newest } = context
  const out = join(path, "out")
  const info = await rebase(newest.dir, out, { onto: base.dir })
  const { manifest, sections } = await stateOf(out)
  assert.equal([info.type, manifest.type], ["diff", "diff"])
  assert.equal(manifest.parent, { id: base.manifest.id, digest: base.digest, name: "base" })
  assert.equal(sections, (await stateOf(newest.dir)).sections)
  assert.is(Buffer.compare(await memoryOf(out, path), context.memoryOf.newest), 0)
  // Pages 1, 2, 301, 302 and 8191 differ; page 7 changed twice, back to what it was.
  assert.equal([info.pages, info.writtenBytes], [5, 5 * 4096])
  const { ok, links } = await verifySnapshot(out)
  assert.ok(ok)
  assert.equal(
    links.map(({ dir, hasDigests }) => [dir, hasDigests]),
    [
      [out, true],
      [base.dir, true],
    ],
  )
})

test("onto any snapshot: itself, a child, one without anything in common, one in another folder", async (context) => {
  const { path, base, middle, newest } = context
  const flat = join(path, "flat")
  await flatten(newest.dir, flat)
  const other = await sealedFull(join(path, "other"), new Map([[5, 50]]))
  const cases: readonly (readonly [HandMade["dir"], Uint8Array, string, number])[] = [
    [newest.dir, context.memoryOf.newest, newest.dir, 0],
    [base.dir, context.memoryOf.base, newest.dir, 5],
    [newest.dir, context.memoryOf.newest, middle.dir, 4],
    [newest.dir, context.memoryOf.newest, flat, 0],
    // Page 5 is zero again, and what the newest one holds is all there is.
    [newest.dir, context.memoryOf.newest, other.dir, 9],
  ]
  for (const [index, [dir, memory, onto, pages]] of cases.entries()) {
    const out = join(path, `out-${index}`)
    const info = await rebase(dir, out, { onto })
    assert.is(info.pages, pages, `${dir} onto ${onto}`)
    assert.is(Buffer.compare(await memoryOf(out, path), memory), 0, `${dir} onto ${onto}`)
    assert.ok((await verifySnapshot(out)).ok)
  }
  using elsewhere = temporaryDirectory()
  const out = join(elsewhere.path, "out")
  await rebase(newest.dir, out, { onto: base.dir })
  assert.is((await stateOf(out)).manifest.parent?.name, undefined)
  assert.ok((await verifySnapshot(out, { parents: [path] })).ok)
})

test("one of other memory is refused, with what each has", async ({ path, newest }) => {
  const small = writeFull(join(path, "small"), regionsOf(16), new Map())
  const error = await failureOf(rebase(newest.dir, join(path, "out"), { onto: small.dir }))
  assert.is(error.code, "CRYOVM_PARENT_OF_OTHER_MACHINE")
  assert.match(error.message, "65536")
  assert.match(error.message, "33554432")
  assert.not.ok(existsSync(join(path, "out")))
})

test("damage in either chain is not taken over", async ({ path, base, middle, newest }) => {
  const other = await sealedFull(join(path, "other"), new Map([[5, 50]]))
  for (const [victim, file] of [
    [other, "memory.img"],
    [base, "memory.img"],
    [middle, "memory.diff"],
  ] as const) {
    flipBit(join(victim.dir, file), 10, 0)
    const error = await failureOf(rebase(newest.dir, join(path, "out"), { onto: other.dir }))
    assert.is(error.code, "CRYOVM_SNAPSHOT_DAMAGED")
    assert.match(error.message, victim.dir)
    flipBit(join(victim.dir, file), 10, 0)
  }
  await rebase(newest.dir, join(path, "out"), { onto: other.dir })
})

test("it is written over nothing that it is made from or a difference to", async ({ path, base, middle, newest }) => {
  const other = await sealedFull(join(path, "other"), new Map([[5, 50]]))
  for (const out of [base.dir, middle.dir, newest.dir, other.dir]) {
    const error = await failureOf(rebase(newest.dir, out, { onto: other.dir, overwrite: true }))
    assert.is(error.code, "CRYOVM_SNAPSHOT_OPTIONS_INVALID")
  }
})

const pages = fc
  .uniqueArray(fc.tuple(fc.nat(12), fc.nat(3)), { selector: ([page]) => page, maxLength: 8 })
  .map((entries): Pages => new Map(entries))

test("any two snapshots of any tree: the content is kept, and verifies", async ({ path }) => {
  let round = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(pages, fc.nat()), { minLength: 1, maxLength: 5 }),
      fc.nat(),
      fc.nat(),
      async (layers, from, to) => {
        round += 1
        const made: { readonly snapshot: HandMade; readonly layers: readonly Pages[] }[] = []
        for (const [index, [layer, parentAt]] of layers.entries()) {
          const dir = join(path, `${round}-${index}`)
          const parent = index === 0 ? undefined : made[parentAt % (made.length + 1)]
          made.push(
            parent === undefined
              ? { snapshot: await sealedFull(dir, layer), layers: [layer] }
              : { snapshot: await sealedDiff(dir, parent.snapshot, layer), layers: [...parent.layers, layer] },
          )
        }
        const source = made[from % made.length]!
        const onto = made[to % made.length]!
        const out = join(path, `${round}-out`)
        await rebase(source.snapshot.dir, out, { onto: onto.snapshot.dir })
        assert.is(Buffer.compare(await memoryOf(out, path), flatMemory(regions, source.layers)), 0)
        assert.ok((await verifySnapshot(out)).ok)
      },
    ),
    { numRuns: 20 },
  )
})

test.run()
