import * as fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { KvmClockData } from "../../src/machine/kvm/clock.ts"
import { KvmCpuidEntry2 } from "../../src/machine/kvm/cpuid.ts"
import { KvmDebugregs } from "../../src/machine/kvm/debugregs.ts"
import { KvmIoapicState, KvmIrqchipIoapic, KvmIrqchipPic, KvmPicState } from "../../src/machine/kvm/irqchip.ts"
import { KvmMpState } from "../../src/machine/kvm/mp-state.ts"
import { KvmMsrEntry, stateMsrIndices } from "../../src/machine/kvm/msrs.ts"
import { KvmPitState2, withoutLoadTimes } from "../../src/machine/kvm/pit.ts"
import { KvmRegs } from "../../src/machine/kvm/regs.ts"
import { KvmSegment, KvmSregs, KvmSregs2, sregs2Of, sregsOf } from "../../src/machine/kvm/sregs.ts"
import { KvmStructureInvalid, type Structure } from "../../src/machine/kvm/structure.ts"
import { KvmVcpuEvents } from "../../src/machine/kvm/vcpu-events.ts"
import { KvmXcrs } from "../../src/machine/kvm/xcrs.ts"
import { fitXsave } from "../../src/machine/kvm/xsave.ts"
import { component } from "../../src/state/component.ts"

/** sizeof of each, as a C compiler tells it from linux/kvm.h, and its reserved bytes: [offset, length]. */
// biome-ignore lint/suspicious/noExplicitAny: structures of every type in one table
const structures: readonly (readonly [string, Structure<any>, number, readonly (readonly [number, number])[]])[] = [
  ["kvm_regs", KvmRegs, 144, []],
  ["kvm_segment", KvmSegment, 24, [[23, 1]]],
  ["kvm_sregs", KvmSregs, 312, [...Array.from({ length: 8 }, (_, n) => [n * 24 + 23, 1] as const), [202, 6], [218, 6]]],
  [
    "kvm_sregs2",
    KvmSregs2,
    320,
    [...Array.from({ length: 8 }, (_, n) => [n * 24 + 23, 1] as const), [202, 6], [218, 6]],
  ],
  ["kvm_msr_entry", KvmMsrEntry, 16, [[4, 4]]],
  ["kvm_cpuid_entry2", KvmCpuidEntry2, 40, [[28, 12]]],
  ["kvm_mp_state", KvmMpState, 4, []],
  ["kvm_debugregs", KvmDebugregs, 128, [[56, 72]]],
  ["kvm_xcrs", KvmXcrs, 392, [...Array.from({ length: 16 }, (_, n) => [8 + n * 16 + 4, 4] as const), [264, 128]]],
  [
    "kvm_vcpu_events",
    KvmVcpuEvents,
    64,
    [
      [15, 1],
      [29, 26],
    ],
  ],
  [
    "kvm_clock_data",
    KvmClockData,
    48,
    [
      [12, 4],
      [32, 16],
    ],
  ],
  ["kvm_pit_state2", KvmPitState2, 112, [[76, 36]]],
  ["kvm_pic_state", KvmPicState, 16, []],
  ["kvm_ioapic_state", KvmIoapicState, 216, [[20, 4]]],
  [
    "kvm_irqchip (pic)",
    KvmIrqchipPic,
    520,
    [
      [4, 4],
      [24, 496],
    ],
  ],
  [
    "kvm_irqchip (ioapic)",
    KvmIrqchipIoapic,
    520,
    [
      [4, 4],
      [28, 4],
      [224, 296],
    ],
  ],
]

for (const [name, structure, size, reserved] of structures) {
  test(`${name}: any bytes of it come back the same, through the wire as well`, () => {
    assert.is(structure.size, size)
    const stored = component(name, structure.schema)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: size, maxLength: size }), (bytes) => {
        for (const [at, length] of reserved) bytes.fill(0, at, at + length)
        const value = structure.decode(bytes)
        assert.equal(structure.encode(value), bytes)
        const back = stored.decode(stored.encode(value))
        assert.equal(back, value)
        assert.equal(structure.encode(back), bytes)
      }),
    )
  })

  test(`${name}: reserved bytes and other sizes are refused`, () => {
    const refused = (bytes: Uint8Array) =>
      assert.throws(
        () => structure.decode(bytes),
        (error: unknown) => error instanceof KvmStructureInvalid,
      )
    for (const [start, length] of reserved) {
      for (const at of [start, start + length - 1]) {
        const bytes = new Uint8Array(size)
        bytes[at] = 1
        refused(bytes)
      }
    }
    refused(new Uint8Array(size - 1))
    refused(new Uint8Array(size + 1))
    assert.throws(() => structure.decodeAll(new Uint8Array(size * 2 + 1)))
  })
}

test("members are where the kernel has them", () => {
  const at = <T>(structure: Structure<T>, offset: number, byte = 0x5a): T => {
    const bytes = new Uint8Array(structure.size)
    bytes[offset] = byte
    return structure.decode(bytes)
  }
  assert.is(at(KvmRegs, 128).rip, 0x5an)
  assert.is(at(KvmRegs, 32).rsi, 0x5an)
  assert.is(at(KvmSregs, 0xe0).cr0, 0x5an)
  assert.is(at(KvmSregs, 0xc0).gdt.base, 0x5an)
  assert.is(at(KvmSregs, 0x118).interruptBitmap[0], 0x5an)
  assert.is(at(KvmSregs, 24 * 6 + 12).tr.selector, 0x5a)
  assert.is(at(KvmVcpuEvents, 20).flags, 0x5a)
  assert.is(at(KvmVcpuEvents, 28).tripleFault.pending, 0x5a)
  assert.is(at(KvmVcpuEvents, 0x37).exceptionHasPayload, 0x5a)
  assert.is(at(KvmVcpuEvents, 0x38).exceptionPayload, 0x5an)
  assert.is(at(KvmPitState2, 72).flags, 0x5a)
  assert.is(at(KvmClockData, 24).hostTsc, 0x5an)
  assert.is(at(KvmIrqchipIoapic, 8 + 24 + 23 * 8).ioapic.redirtbl[23], 0x5an)
})

test("views that start in the middle of a buffer are read from there", () => {
  const buffer = new Uint8Array(200)
  buffer[8 + 128] = 7
  assert.is(KvmRegs.decode(buffer.subarray(8, 152)).rip, 7n)
})

test("arrays of structures are as long as their bytes", () => {
  const bytes = Uint8Array.from({ length: 48 }, (_, index) => (index % 16 >= 4 && index % 16 < 8 ? 0 : index))
  const entries = KvmMsrEntry.decodeAll(bytes)
  assert.is(entries.length, 3)
  assert.equal(KvmMsrEntry.encodeAll(entries), bytes)
  assert.equal(KvmMsrEntry.decodeAll(new Uint8Array(0)), [])
})

test("special registers of either form become the other", () => {
  const sregs = KvmSregs.decode(new Uint8Array(312))
  assert.equal(sregsOf(sregs2Of({ ...sregs, cr3: 5n })), { ...sregs, cr3: 5n })
})

test("a timer is stored without readings of the host's clock", () => {
  const bytes = new Uint8Array(112).fill(1, 0, 76)
  const { channels } = withoutLoadTimes(KvmPitState2.decode(bytes))
  assert.equal(
    channels.map((channel) => [channel.count, channel.countLoadTime]),
    [1, 2, 3].map(() => [0x01010101, 0n]),
  )
})

test("XSAVE state is fitted to the destination unless something would be lost", () => {
  const state = new Uint8Array(8192).fill(3, 0, 4096)
  assert.is(fitXsave(state, 8192), state)
  assert.equal(fitXsave(state, 4096), state.slice(0, 4096))
  assert.equal(fitXsave(state.slice(0, 4096), 8192), state)
  state[5000] = 1
  assert.throws(
    () => fitXsave(state, 4096),
    (error: unknown) => error instanceof KvmStructureInvalid,
  )
})

test("Hyper-V's registers are no part of the state", () => {
  assert.equal(stateMsrIndices([0x10, 0x40000000, 0x400001ff, 0x40000200, 0x4b564d00]), [0x10, 0x40000200, 0x4b564d00])
})

test.run()
