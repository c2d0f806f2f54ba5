// time limit: 300 s
/**
 * Whatever guest and devices do to memory, in whatever order: a diff laid over its parent is all of memory, as a full
 * snapshot of the same pause has it.
 */
import { join } from "node:path"
import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { differingPages, flatMemoryOf } from "../support/flat-memory.ts"
import { kvmTest } from "../support/kvm.ts"
import { type Puppet, PuppetDriver, puppetMachine } from "../support/puppet.ts"
import { temporaryDirectory } from "../support/temporary.ts"
import { trackingModes } from "../support/tracking-modes.ts"

const PAGE = 4096
const MIB = 2 ** 20
/** Where the acts take place: 64 pages, so that they meet again and again. */
const ARENA = 8 * MIB
const ARENA_PAGES = 64
const RNG = { slot: 0, rings: 4 * MIB }
const BALLOON = { slot: 1, rings: 5 * MIB }
/** Where the guest writes the page numbers for its balloon. */
const PAGE_NUMBERS = 6 * MIB

type Act =
  | { readonly kind: "fill"; readonly page: number; readonly value: bigint; readonly words: number }
  | { readonly kind: "entropy"; readonly offset: number; readonly length: number }
  | { readonly kind: "inflate"; readonly pages: readonly number[] }

const page = fc.nat(ARENA_PAGES - 1)
const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({
    kind: fc.constant("fill" as const),
    page,
    value: fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })),
    words: fc.constantFrom(1, 512, 1300),
  }),
  fc.record({
    kind: fc.constant("entropy" as const),
    offset: fc.nat((ARENA_PAGES - 4) * PAGE),
    length: fc.integer({ min: 1, max: 3 * PAGE }),
  }),
  fc.record({ kind: fc.constant("inflate" as const), pages: fc.array(page, { minLength: 1, maxLength: 8 }) }),
)

/** The guest with its two drivers. */
class Actor {
  readonly #puppet: Puppet
  readonly #rng = new PuppetDriver(RNG.slot, RNG.rings)
  readonly #balloon = new PuppetDriver(BALLOON.slot, BALLOON.rings)

  constructor(puppet: Puppet) {
    this.#puppet = puppet
  }

  async start(): Promise<void> {
    await this.#rng.start(this.#puppet)
    await this.#balloon.start(this.#puppet)
  }

  async do(what: Act): Promise<void> {
    const puppet = this.#puppet
    if (what.kind === "fill") {
      const words = Math.min(what.words, ((ARENA_PAGES - what.page) * PAGE) / 8)
      await puppet.fill(ARENA + what.page * PAGE, what.value, words)
    } else if (what.kind === "entropy") {
      const buffer = { address: ARENA + what.offset, length: what.length, deviceWrites: true }
      await this.#rng.submit(puppet, buffer, () => {})
    } else {
      for (const [index, number] of what.pages.entries()) {
        await puppet.store(PAGE_NUMBERS + 4 * index, ARENA / PAGE + number)
      }
      const buffer = { address: PAGE_NUMBERS, length: 4 * what.pages.length, deviceWrites: false }
      await this.#balloon.submit(puppet, buffer, () => {})
    }
  }
}

for (const { name, begin } of trackingModes) {
  kvmTest(`${name}: no write of the guest or of a device is missing in a diff`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(act, { maxLength: 12 }), { minLength: 2, maxLength: 3 }), async (rounds) => {
        using scratch = temporaryDirectory()
        await using machine = await begin(puppetMachine, scratch.path, async () => {})
        const { vm, puppet } = machine
        const actor = new Actor(puppet)
        await actor.start()
        let parent = machine.base
        for (const [round, acts] of rounds.entries()) {
          for (const each of acts) await actor.do(each)
          await vm.pause()
          const [diff, full] = [join(scratch.path, `diff${round}`), join(scratch.path, `full${round}`)]
          await vm.snapshot({ dir: diff, type: "diff", parent })
          await vm.snapshot({ dir: full })
          await vm.resume()
          assert.equal(differingPages(await flatMemoryOf(diff), await flatMemoryOf(full)), [])
          parent = full
        }
      }),
      { numRuns: 4, endOnFailure: true },
    )
  })
}

test.run()
