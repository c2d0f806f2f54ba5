/** Chains made by hand, compared. None of it needs KVM. */
import { join } from "node:path"
import fc from "fast-check"
import { suite } from "uvu"
import * as assert from "uvu/assert"
import { compareSnapshots } from "../../src/index.ts"
import { machineComponent } from "../../src/machine/config.ts"
import { vcpuComponent } from "../../src/machine/kvm/vcpu-state.ts"
import { componentsOf, type Section } from "../../src/state/envelope.ts"
import { decodeSection, encodeSection } from "../../src/state/registry.ts"
import { flatMemory, type Pages, regionsOf, writeDiff, writeFull } from "../support/diff-chain.ts"
import { failureOf } from "../support/failure.ts"
import { frozenMachine, regions, sealedDiff, sealedFull } from "../support/sealed-chain.ts"
import { type ChainOfThree, chainOfThree } from "../support/sealed-chain-of-three.ts"
import { temporaryDirectory } from "../support/temporary.ts"

interface Context extends ChainOfThree {
  path: string
  scratch: ReturnType<typeof temporaryDirectory>
}

const test = suite<Context>("compare snapshots")

test.before.each(async (context) => {
  const scratch = temporaryDirectory()
  Object.assign(context, { scratch, path: scratch.path }, await chainOfThree(scratch.path))
})
test.after.each(({ scratch }) => scratch[Symbol.dispose]())

const page = (number: number, count = 1) => ({ guestAddress: number * 4096, size: count * 4096 })

test("a snapshot and itself: nothing", async ({ newest }) => {
  assert.equal(await compareSnapshots(newest.dir, newest.dir), {
    a: { dir: newest.dir, id: newest.manifest.id, memoryBytes: frozenMachine.manifest.machine.memoryBytes },
    b: { dir: newest.dir, id: newest.manifest.id, memoryBytes: frozenMachine.manifest.machine.memoryBytes },
    identical: true,
    sections: [],
    memory: { ranges: [], pages: 0, bytes: 0 },
  })
})

test("memory by guest-physical addresses, whichever is the first", async ({ base, middle, newest }) => {
  const expected = [page(1, 2), page(301, 2), page(8191)]
  for (const [a, b] of [
    [base.dir, newest.dir],
    [newest.dir, base.dir],
  ] as const) {
    const { identical, sections, memory } = await compareSnapshots(a, b)
    assert.equal([identical, sections], [false, []])
    assert.equal(memory, { ranges: expected, pages: 5, bytes: 5 * 4096 })
  }
  const { memory } = await compareSnapshots(middle.dir, newest.dir)
  assert.equal(memory?.ranges, [page(2), page(7), page(302), page(8191)])
})

test("regions above 4 GiB have their own addresses", async ({ path }) => {
  const base = writeFull(join(path, "gap"), regionsOf(256, 3), new Map([[257, 5]]))
  const child = writeDiff(join(path, "child"), base, new Map([[258, 6]]))
  const { memory } = await compareSnapshots(base.dir, child.dir)
  assert.equal(memory?.ranges, [{ guestAddress: 2 ** 32 + 2 * 4096, size: 4096 }])
})

const { manifest, sections } = frozenMachine
const withSections = (changed: readonly Section[]) => ({
  manifest: { ...manifest, components: componentsOf(changed) },
  sections: changed,
})

/** The frozen machine, its first vCPU a little further on. */
const steppedOn = (): readonly Section[] =>
  sections.map((section) => {
    if (section.name !== "vcpu0") return section
    const state = decodeSection(vcpuComponent, section)
    return encodeSection("vcpu0", vcpuComponent, { ...state, regs: { ...state.regs, rip: state.regs.rip + 2n } })
  })

test("components by the paths of their fields, with both values", async ({ path, base }) => {
  const stepped = await sealedFull(join(path, "stepped"), new Map(), withSections(steppedOn()))
  const { identical, sections: differences } = await compareSnapshots(base.dir, stepped.dir)
  assert.not.ok(identical)
  const rip = decodeSection(vcpuComponent, sections.find(({ name }) => name === "vcpu0")!).regs.rip
  const version = { kind: "vcpu", version: vcpuComponent.version }
  assert.equal(differences, [
    { name: "vcpu0", a: version, b: version, fields: [{ path: "regs.rip", a: rip, b: rip + 2n }], moreFields: 0 },
  ])
})

test("components that only one has, or in another version, or of a kind that nobody knows", async ({ path, base }) => {
  const gpu = { name: "gpu0", kind: "virtio-gpu", version: 1, optional: true, payload: Uint8Array.of(0x80) } as const
  const machine = decodeSection(machineComponent, sections.find(({ name }) => name === "machine")!)
  const changed = sections
    .filter(({ name }) => name !== "serial0")
    .map((section) =>
      section.name === "machine" ? encodeSection("machine", machineComponent, { ...machine, label: "x" }) : section,
    )
  const other = await sealedFull(join(path, "other"), new Map(), withSections([...changed, gpu]))
  const more = await sealedFull(
    join(path, "more"),
    new Map(),
    withSections([...changed, { ...gpu, payload: Uint8Array.of(0x81, 0xa1, 0x61, 0x01) }]),
  )
  const told = ({ name, a, b, fields }: Awaited<ReturnType<typeof compareSnapshots>>["sections"][number]) => [
    name,
    a?.kind,
    b?.kind,
    fields.map(({ path: each }) => each),
  ]
  const againstBase = await compareSnapshots(base.dir, other.dir)
  assert.equal(againstBase.sections.map(told), [
    ["machine", "machine", "machine", ["label"]],
    ["serial0", "serial", undefined, []],
    ["gpu0", undefined, "virtio-gpu", []],
  ])
  assert.equal((await compareSnapshots(other.dir, more.dir)).sections.map(told), [
    ["gpu0", "virtio-gpu", "virtio-gpu", []],
  ])
})

test("no more fields than asked for, and how many more there are", async ({ path, base }) => {
  const all = sections.map((section) => {
    if (section.name !== "vcpu1") return section
    const state = decodeSection(vcpuComponent, section)
    return encodeSection("vcpu1", vcpuComponent, {
      ...state,
      regs: Object.fromEntries(
        Object.entries(state.regs).map(([name, value]) => [name, value ^ 1n]),
      ) as typeof state.regs,
    })
  })
  const other = await sealedFull(join(path, "other"), new Map(), withSections(all))
  const { sections: differences } = await compareSnapshots(base.dir, other.dir, { maximumFields: 3 })
  assert.equal([differences[0]?.fields.length, differences[0]?.moreFields], [3, 15])
})

test("memory of another size is not compared, and said to be of another size", async ({ path, base }) => {
  const small = writeFull(join(path, "small"), regionsOf(16), new Map(), {
    manifest: { ...manifest, machine: { ...manifest.machine, memoryBytes: 65536 } },
    sections,
  })
  const { identical, memory, a, b } = await compareSnapshots(base.dir, small.dir)
  assert.not.ok(identical)
  assert.is(memory, undefined)
  assert.equal([a.memoryBytes, b.memoryBytes], [32 * 2 ** 20, 65536])
})

test("a chain that cannot be opened is an error, not a difference", async ({ path, base, newest }) => {
  const orphan = await sealedDiff(join(path, "orphan"), { ...base, digest: "0".repeat(64) }, new Map())
  assert.is((await failureOf(compareSnapshots(newest.dir, orphan.dir))).code, "CRYOVM_PARENT_MISMATCH")
  assert.is((await failureOf(compareSnapshots(newest.dir, join(path, "none")))).code, "CRYOVM_SNAPSHOT_NOT_FOUND")
})

const layer = fc
  .uniqueArray(fc.tuple(fc.nat(12), fc.nat(3)), { selector: ([number]) => number, maxLength: 8 })
  .map((entries): Pages => new Map(entries))

test("any two snapshots: exactly the pages that differ", async ({ path }) => {
  let round = 0
  await fc.assert(
    fc.asyncProperty(layer, layer, layer, layer, fc.boolean(), async (shared, left, right, top, related) => {
      round += 1
      const under = (name: string) => join(path, `${round}-${name}`)
      const base = await sealedFull(under("base"), shared)
      const a = await sealedDiff(under("a"), base, left)
      const other = related ? base : await sealedFull(under("other"), top)
      const b = await sealedDiff(under("b"), other, right)
      const [memoryA, memoryB] = [
        flatMemory(regions, [shared, left]),
        flatMemory(regions, [related ? shared : top, right]),
      ]
      const differing = Array.from({ length: 16 }, (_, number) => number).filter(
        (number) =>
          Buffer.compare(
            memoryA.subarray(number * 4096, number * 4096 + 4096),
            memoryB.subarray(number * 4096, number * 4096 + 4096),
          ) !== 0,
      )
      const { memory, identical } = await compareSnapshots(a.dir, b.dir)
      assert.is(identical, differing.length === 0)
      assert.equal(
        memory?.ranges.flatMap(({ guestAddress, size }) =>
          Array.from({ length: size / 4096 }, (_, index) => guestAddress / 4096 + index),
        ),
        differing,
      )
    }),
    { numRuns: 25 },
  )
})

test.run()
