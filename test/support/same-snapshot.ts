/** Compares two snapshots section by section, and page by page. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as assert from "uvu/assert"
import { readStateFile } from "../../src/snapshot/bundle/bundle.ts"
import { differingPages } from "./flat-memory.ts"

const stateOf = (dir: string) => Effect.runPromise(readStateFile(dir))

/** The machines' states are the same, and so is what the digests tell of their memory. Both are full. */
export const assertSameDigests = async (one: string, other: string): Promise<void> => {
  const [before, after] = [await stateOf(one), await stateOf(other)]
  assert.equal(
    after.sections.map((section) => section.name),
    before.sections.map((section) => section.name),
  )
  for (const [index, section] of before.sections.entries()) {
    const match = Buffer.compare(section.payload, after.sections[index]?.payload ?? new Uint8Array(0)) === 0
    assert.ok(match, `section ${section.name} differs`)
  }
  assert.equal(after.memoryDigests, before.memoryDigests, "the digests of memory differ")
}

/** Both are full. */
export const assertSame = async (one: string, other: string): Promise<void> => {
  await assertSameDigests(one, other)
  const [before, after] = [one, other].map((dir) => readFileSync(join(dir, "memory.img")))
  assert.equal(differingPages(before ?? new Uint8Array(0), after ?? new Uint8Array(0)), [], "memory differs")
}
