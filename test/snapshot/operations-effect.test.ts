/** The operations on snapshots on disk as Effects. None of it needs KVM. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { test } from "uvu"
import * as assert from "uvu/assert"
import {
  compareSnapshots,
  exportMemory,
  flatten,
  importMemory,
  rebase,
  snapshotLineage,
  verifySnapshot,
} from "../../src/effect.ts"
import { flipBit } from "../support/sealed-chain.ts"
import { chainOfThree } from "../support/sealed-chain-of-three.ts"
import { temporaryDirectory } from "../support/temporary.ts"

test("one after the other, in one program", async () => {
  using scratch = temporaryDirectory()
  const at = (name: string) => join(scratch.path, name)
  const { base, newest } = await chainOfThree(scratch.path)
  const program = Effect.gen(function* () {
    yield* flatten(newest.dir, at("flat"))
    yield* rebase(at("flat"), at("layer"), { onto: base.dir })
    yield* exportMemory(at("layer"), at("memory.bin"))
    yield* importMemory(newest.dir, at("memory.bin"), at("imported"))
    const { identical } = yield* compareSnapshots(newest.dir, at("imported"))
    const { ok, links } = yield* verifySnapshot(at("layer"))
    const forest = yield* snapshotLineage(scratch.path)
    return { identical, ok, links: links.length, trees: forest.length }
  })
  assert.equal(await Effect.runPromise(program), { identical: true, ok: true, links: 2, trees: 3 })
})

test("failures are typed", async () => {
  using scratch = temporaryDirectory()
  const { base, newest } = await chainOfThree(scratch.path)
  flipBit(join(base.dir, "memory.img"), 0, 0)
  const caught = flatten(newest.dir, join(scratch.path, "flat")).pipe(
    Effect.as("written"),
    Effect.catchTag("SnapshotDamaged", ({ links }) => Effect.succeed(links.map(({ problems }) => problems.length))),
  )
  assert.equal(await Effect.runPromise(caught), [0, 0, 1])
})

test("an interruption ends in order, with nothing left", async () => {
  using scratch = temporaryDirectory()
  const { newest } = await chainOfThree(scratch.path)
  const out = join(scratch.path, "flat")
  let interrupt = async () => {}
  const reached = new Promise<void>((resolve) => {
    const onProgress = ({ doneBytes }: { readonly doneBytes: number }) => (doneBytes > 0 ? resolve() : undefined)
    const fiber = Effect.runFork(flatten(newest.dir, out, { onProgress }))
    interrupt = async () => void (await Effect.runPromise(Fiber.interrupt(fiber)))
  })
  await reached
  await interrupt()
  assert.equal(readdirSync(scratch.path).sort(), ["base", "middle", "newest"])
})

test.run()
