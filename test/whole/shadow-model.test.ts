// time limit: 600 s
/**
 * Random histories of a machine and its snapshots, held against a model of its memory that the test keeps itself: a copy of
 * all bytes, to which every write of the guest and every discard is applied.
 */
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { exportMemory, flatten, MicroVm, rebase, verifySnapshot } from "../../src/index.ts"
import { differingPages } from "../support/flat-memory.ts"
import { kvmTest } from "../support/kvm.ts"
import { COMMAND_ADDRESS, type DriverPosition, Puppet, PuppetDriver, puppetMachine } from "../support/puppet.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const PAGE = 4096
/** The pages that the histories are about; few, so that what happens to one happens again. */
const FIRST_PAGE = 0x800000 / PAGE
const PAGES = 24
const RNG_RINGS = 0x400000
const BALLOON_RINGS = 0x410000
const RNG_BUFFERS = 0x500000
/** Several, so that one that was missed is not written again before it shows. */
const RNG_PAGES = 8
const BALLOON_BUFFER = 0x600000

/** What only the machine knows: rings and random bytes by devices, accessed and dirty bits in the page tables. */
const MACHINE_PAGES = new Set([
  ...[0x9, 0xa, 0xb, 0xc, 0xd],
  (RNG_RINGS + 0x2000) / PAGE,
  (BALLOON_RINGS + 0x2000) / PAGE,
  ...Array.from({ length: RNG_PAGES }, (_, index) => RNG_BUFFERS / PAGE + index),
])

type Step =
  | { readonly do: "fill"; readonly page: number; readonly pages: number; readonly value: number }
  | { readonly do: "random"; readonly offset: number; readonly length: number }
  | { readonly do: "discard"; readonly pages: readonly number[] }
  | { readonly do: "full" }
  | { readonly do: "diff"; readonly against: number }
  | { readonly do: "restore"; readonly from: number; readonly tracked: boolean }
  | { readonly do: "roll back"; readonly to: number }
  | { readonly do: "flatten"; readonly which: number }
  | { readonly do: "rebase"; readonly which: number; readonly onto: number }

const page = fc.nat({ max: PAGES - 1 })
const any = fc.nat({ max: 1000 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("fill" as const),
      page,
      pages: fc.integer({ min: 1, max: 4 }),
      // Zero often enough: a page that becomes zero is a change like any other.
      value: fc.oneof(fc.constant(0), fc.nat({ max: 255 })),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("random" as const),
      offset: fc.nat({ max: (RNG_PAGES - 1) * PAGE }),
      length: fc.integer({ min: 1, max: 2000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("discard" as const),
      pages: fc.uniqueArray(page, { minLength: 1, maxLength: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("full" as const) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("diff" as const), against: any }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restore" as const), from: any, tracked: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("roll back" as const), to: any }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("flatten" as const), which: any }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("rebase" as const), which: any, onto: any }) },
)

/** What the test knows of a moment of the machine: its memory, and where its drivers stood. */
interface Moment {
  readonly memory: Buffer
  readonly drivers: readonly DriverPosition[]
}

interface Saved extends Moment {
  readonly dir: string
}

const memoryOf = async (dir: string, scratch: string): Promise<Buffer> => {
  const file = join(scratch, "exported.img")
  await exportMemory(dir, file)
  const bytes = readFileSync(file)
  rmSync(file)
  return bytes
}

/** Numbers of the pages that differ. */
const differences = (a: Buffer, b: Buffer, except: ReadonlySet<number> = new Set()): readonly number[] => {
  assert.is(a.length, b.length)
  return differingPages(a, b)
    .map((address) => address / PAGE)
    .filter((index) => !except.has(index))
}

/** One machine after another, with its model. */
class History {
  readonly #scratch: string
  #vm: MicroVm
  #puppet: Puppet
  readonly #rng = new PuppetDriver(0, RNG_RINGS)
  readonly #balloon = new PuppetDriver(1, BALLOON_RINGS)
  #memory: Buffer = Buffer.alloc(0)
  readonly #saved: Saved[] = []
  #names = 0

  constructor(scratch: string, vm: MicroVm) {
    this.#scratch = scratch
    this.#vm = vm
    this.#puppet = new Puppet(vm)
  }

  async begin(): Promise<void> {
    await this.#vm.start()
    await this.#rng.start(this.#puppet)
    await this.#balloon.start(this.#puppet)
    const dir = this.#name()
    await this.#vm.snapshot({ dir })
    this.#memory = await memoryOf(dir, this.#scratch)
    this.#remember(dir)
  }

  async end(): Promise<void> {
    await this.#reckon()
    await this.close()
  }

  async close(): Promise<void> {
    await this.#puppet[Symbol.asyncDispose]()
    await this.#vm.stop()
  }

  #name(): string {
    return join(this.#scratch, `snapshot-${this.#names++}`)
  }

  #pick(index: number): Saved {
    return this.#saved[index % this.#saved.length] as Saved
  }

  #remember(dir: string, moment: Moment = this.#now()): void {
    this.#saved.push({ dir, ...moment })
  }

  #now(): Moment {
    this.#memory.set(this.#puppet.lastCommand, COMMAND_ADDRESS)
    return { memory: Buffer.from(this.#memory), drivers: [this.#rng.position, this.#balloon.position] }
  }

  #goTo({ memory, drivers }: Moment): void {
    this.#memory = Buffer.from(memory)
    this.#rng.position = drivers[0] as DriverPosition
    this.#balloon.position = drivers[1] as DriverPosition
    // What the guest works on next overwrites it.
    this.#puppet.lastCommand = this.#memory.subarray(COMMAND_ADDRESS, COMMAND_ADDRESS + this.#puppet.lastCommand.length)
  }

  readonly #store = (address: number, value: number): void => {
    this.#memory.writeUInt32LE(value, address)
  }

  /** A snapshot of the machine as it is now holds what the model says. */
  async #check(dir: string): Promise<void> {
    const moment = this.#now()
    const memory = await memoryOf(dir, this.#scratch)
    assert.equal(differences(memory, moment.memory, MACHINE_PAGES), [], `${dir} against the model`)
    // What a device wrote is known from here on; that it is right shows when the machine is left.
    this.#memory = Buffer.from(memory)
    this.#remember(dir, { ...moment, memory })
  }

  async #save(options: { readonly type?: "diff"; readonly parent?: string }): Promise<void> {
    await this.#vm.pause()
    const dir = this.#name()
    await this.#vm.snapshot({ dir, ...options } as Parameters<MicroVm["snapshot"]>[0])
    await this.#check(dir)
    await this.#vm.resume()
  }

  /**
   * Before a machine is left: a difference to the last snapshot holds what a full one of the same instant holds, also
   * what devices have written since the machine began. Not earlier, for a full snapshot begins all tracking anew.
   */
  async #reckon(): Promise<void> {
    await this.#vm.pause()
    const last = this.#saved.at(-1) as Saved
    const [diff, full] = [this.#name(), this.#name()]
    await this.#vm.snapshot({ dir: diff, type: "diff", parent: last.dir })
    await this.#vm.snapshot({ dir: full })
    const memory = await memoryOf(diff, this.#scratch)
    assert.equal(differences(memory, this.#now().memory, MACHINE_PAGES), [], `${diff} against the model`)
    assert.equal(differences(memory, await memoryOf(full, this.#scratch)), [], `${diff} against ${full}`)
    rmSync(full, { recursive: true })
  }

  async #sameAs({ dir, ...moment }: Saved, made: string): Promise<void> {
    assert.equal(differences(await memoryOf(made, this.#scratch), moment.memory), [], `${made} against ${dir}`)
    assert.ok((await verifySnapshot(made)).ok)
    this.#remember(made, moment)
  }

  async apply(each: Step): Promise<void> {
    switch (each.do) {
      case "fill": {
        const start = (FIRST_PAGE + each.page) * PAGE
        await this.#puppet.fill(start, BigInt(each.value) * 0x0101010101010101n, (each.pages * PAGE) / 8)
        this.#memory.fill(each.value, start, start + each.pages * PAGE)
        return
      }
      case "random":
        return this.#rng.submit(
          this.#puppet,
          { address: RNG_BUFFERS + each.offset, length: each.length, deviceWrites: true },
          this.#store,
        )
      case "discard": {
        for (const [index, number] of each.pages.entries()) {
          await this.#puppet.store(BALLOON_BUFFER + index * 4, FIRST_PAGE + number)
          this.#store(BALLOON_BUFFER + index * 4, FIRST_PAGE + number)
        }
        const buffer = { address: BALLOON_BUFFER, length: each.pages.length * 4, deviceWrites: false }
        await this.#balloon.submit(this.#puppet, buffer, this.#store)
        for (const number of each.pages)
          this.#memory.fill(0, (FIRST_PAGE + number) * PAGE, (FIRST_PAGE + number + 1) * PAGE)
        return
      }
      case "full":
        return this.#save({})
      case "diff":
        return this.#save({ type: "diff", parent: this.#pick(each.against).dir })
      case "restore": {
        await this.end()
        const saved = this.#pick(each.from)
        this.#vm = await MicroVm.restore(saved.dir, { resume: true, trackDirtyPages: each.tracked })
        this.#puppet = new Puppet(this.#vm)
        this.#goTo(saved)
        return
      }
      case "roll back": {
        const saved = this.#pick(each.to)
        await this.#reckon()
        await this.#vm.restoreFrom(saved.dir, { resume: true })
        this.#goTo(saved)
        return
      }
      case "flatten": {
        const saved = this.#pick(each.which)
        const dir = this.#name()
        await flatten(saved.dir, dir)
        return this.#sameAs(saved, dir)
      }
      case "rebase": {
        const saved = this.#pick(each.which)
        const dir = this.#name()
        await rebase(saved.dir, dir, { onto: this.#pick(each.onto).dir })
        return this.#sameAs(saved, dir)
      }
    }
  }
}

for (const trackDirtyPages of [false, true]) {
  kvmTest(`random histories, ${trackDirtyPages ? "with" : "without"} the dirty log from the start`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 20 }), async (steps) => {
        using scratch = temporaryDirectory()
        const history = new History(scratch.path, await MicroVm.create({ ...puppetMachine, trackDirtyPages }))
        try {
          await history.begin()
          for (const each of steps) await history.apply(each)
          await history.end()
        } finally {
          await history.close()
        }
      }),
      { numRuns: 6, endOnFailure: true },
    )
  })
}

test.run()
