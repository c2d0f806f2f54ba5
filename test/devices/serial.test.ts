import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import fc from "fast-check"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { makeSerial, SCROLLBACK_BYTES } from "../../src/devices/legacy/serial/model.ts"
import { MAX_INPUT_BYTES, serialComponent } from "../../src/devices/legacy/serial/state.ts"
import { turn } from "../support/virtio-driver.ts"

const [RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7] as const
const THR = RBR
const FCR = IIR

const make = () => {
  const line = {
    gsi: 4,
    pulses: 0,
    raise: () => {
      line.pulses++
    },
  }
  const scope = Scope.makeUnsafe()
  const device = Effect.runSync(Scope.provide(makeSerial({ interrupt: line }), scope))
  const read = (register: number) => device.registers.read(register, 1)
  const write = (register: number, value: number) => device.registers.write(register, 1, value)
  /** Interrupts since the last call. */
  const pulses = () => {
    const count = line.pulses
    line.pulses = 0
    return count
  }
  return { device, scope, read, write, pulses }
}
const text = (value: string) => new TextEncoder().encode(value)
const string = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

test("registers after power on", () => {
  const { read } = make()
  assert.equal([RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR].map(read), [0, 0, 1, 0, 0, 0x60, 0xb0, 0])
})

const table: [string, number, number, number][] = [
  ["IER keeps four bits", IER, 0xff, 0x0f],
  ["LCR", LCR, 0x7b, 0x7b],
  ["MCR keeps five bits", MCR, 0xff, 0x1f],
  ["SCR", SCR, 0xa5, 0xa5],
  ["LSR cannot be written", LSR, 0xff, 0x60],
]
for (const [label, register, value, expected] of table) {
  test(`register: ${label}`, () => {
    const { read, write } = make()
    write(register, value)
    assert.is(read(register), expected)
  })
}

test("the divisor latch hides RBR and IER", () => {
  const { read, write } = make()
  write(IER, 0x05)
  write(LCR, 0x80)
  write(0, 0x01)
  write(1, 0x02)
  assert.equal([read(0), read(1)], [1, 2])
  write(LCR, 0x03)
  assert.equal([read(0), read(1)], [0, 5])
})

test("Linux 8250 autoconfig finds a 16550A", () => {
  const { read, write } = make()
  // autoconfig(): does the interrupt enable register exist, with its upper half clear?
  write(IER, 0)
  assert.is(read(IER) & 0x0f, 0)
  write(IER, 0x0f)
  assert.is(read(IER), 0x0f)
  write(IER, 0)
  // Loopback: OUT2 and RTS show as DCD and CTS.
  const mcr = read(MCR)
  write(MCR, 0x10 | 0x0a)
  assert.is(read(MSR) & 0xf0, 0x90)
  write(MCR, mcr)
  // Extended feature registers of later chips are not there; the FIFO is.
  write(LCR, 0xbf)
  write(FCR, 0)
  write(LCR, 0)
  write(FCR, 1)
  assert.is(read(IIR) >> 6, 3)
  write(LCR, 0x80)
  assert.is.not(read(IIR), 0, "no EFR")
  // The 64-byte FIFO of a 16750 would show in bit 5.
  write(LCR, 0)
  write(FCR, 0x21)
  assert.is(read(IIR) >> 5, 6)
  write(LCR, 0x80)
  write(FCR, 0x21)
  assert.is(read(IIR) >> 5, 6)
  write(LCR, 0)
  // No UUE bit of an XScale.
  write(IER, 0x40)
  assert.is(read(IER) & 0x40, 0)
  write(FCR, 0)
  assert.is(read(IIR), 1)
})

test("Linux serial8250_do_startup: the THRE interrupt comes back when enabled a second time", () => {
  const { read, write, pulses } = make()
  write(IER, 2)
  assert.is(pulses(), 1)
  assert.is(read(IIR) & 0x0f, 2)
  assert.is(read(IIR) & 0x0f, 1, "reading the IIR takes it back")
  write(IER, 0)
  write(IER, 2)
  assert.is(pulses(), 1)
  assert.is(read(IIR) & 0x0f, 2, "not UART_BUG_THRE")
  write(IER, 0)
  write(IER, 2)
  assert.is(read(LSR) & 0x40, 0x40)
  assert.is(read(IIR) & 1, 0, "not UART_BUG_TXEN")
})

test("every byte sent makes the transmitter empty anew: one edge each", () => {
  const { device, read, write, pulses } = make()
  write(FCR, 1)
  write(IER, 2)
  pulses()
  for (const byte of text("hello")) write(THR, byte)
  assert.is(pulses(), 5)
  assert.is(read(IIR), 0xc2)
  assert.is(read(IIR), 0xc1)
  assert.is(string(device.scrollback()), "hello")
  write(IER, 0)
  write(THR, 33)
  assert.is(pulses(), 0, "polled output interrupts nobody")
})

test("received data: trigger level, character time-out, priority", () => {
  const { device, read, write, pulses } = make()
  write(FCR, 0x81)
  write(IER, 1)
  assert.is(device.offer(text("abc")), 3)
  assert.is(pulses(), 1, "below the trigger: time-out")
  assert.is(read(IIR), 0xcc)
  device.offer(text("defgh"))
  assert.is(pulses(), 1, "trigger reached")
  assert.is(read(IIR), 0xc4)
  assert.is(read(LSR), 0x61)
  assert.is(string(Uint8Array.from({ length: 8 }, () => read(RBR))), "abcdefgh")
  assert.is(read(LSR), 0x60)
  assert.is(read(IIR), 0xc1)
  assert.is(read(RBR), 0)
})

test("the FIFO is filled up from the queue as the guest reads", () => {
  const { device, read, write, pulses } = make()
  write(FCR, 0xc1)
  write(IER, 1)
  device.offer(text("0123456789".repeat(10)))
  assert.is(device.save().receiveFifo.length, 16)
  assert.is(device.save().input.length, 84)
  let seen = ""
  while ((read(LSR) & 1) !== 0) seen += String.fromCharCode(read(RBR))
  assert.is(seen, "0123456789".repeat(10))
  assert.ok(pulses() >= 1)
  assert.is(device.metrics.receivedBytes, 100)
})

test("without the FIFO each byte interrupts", () => {
  const { device, read, write, pulses } = make()
  write(IER, 1)
  device.offer(text("abc"))
  assert.is(pulses(), 1)
  for (const expected of [97, 98, 99]) {
    assert.is(read(IIR), 4)
    assert.is(read(RBR), expected)
  }
  assert.is(pulses(), 2)
  assert.is(read(IIR), 1)
})

test("loopback: bytes come back, too many overrun, and the host is cut off", () => {
  const { device, read, write, pulses } = make()
  write(FCR, 0x01)
  write(MCR, 0x10)
  read(MSR)
  write(IER, 0x05)
  device.offer(text("!"))
  for (let byte = 0; byte < 17; byte++) write(THR, byte)
  assert.ok(pulses() >= 2)
  assert.is(read(IIR), 0xc6, "line status comes first")
  assert.is(read(LSR), 0x63)
  assert.is(read(LSR), 0x61, "the error is told once")
  assert.equal(
    Array.from({ length: 16 }, () => read(RBR)),
    Array.from({ length: 16 }, (_, byte) => byte),
  )
  assert.is(device.scrollback().length, 0)
  assert.is(read(LSR) & 1, 0)
  write(MCR, 0)
  assert.is(read(RBR), 33, "out of loopback the host is heard again")
  assert.is(device.metrics.overruns, 1)
  write(FCR, 0)
  write(MCR, 0x10)
  write(THR, 1)
  write(THR, 2)
  assert.is(read(LSR), 0x63)
  assert.is(read(RBR), 2, "without FIFO the later byte stays")
})

test("modem status: changes are told once, and interrupt", () => {
  const { read, write, pulses } = make()
  write(MCR, 0x1f)
  assert.is(read(MSR), 0xf0, "all four lines on: RI's leading edge does not count")
  write(MCR, 0x1b)
  assert.is(read(MSR), 0xb4, "its trailing edge does")
  write(IER, 8)
  write(MCR, 0x18)
  assert.is(pulses(), 1)
  assert.is(read(IIR), 0)
  assert.is(read(MSR), 0x83)
  assert.is(read(MSR), 0x80)
  assert.is(read(IIR), 1)
})

test("FCR: reset empties the receiver, a change of mode too, bits count only with bit 0", () => {
  const { device, read, write } = make()
  write(FCR, 0x41)
  device.offer(text("abc"))
  write(FCR, 0x43)
  assert.is(read(LSR) & 1, 0)
  device.offer(text("abc"))
  write(FCR, 0x02)
  assert.is(read(LSR) & 1, 0)
  assert.is(device.save().receiverTrigger, 4)
})

test("input waits for room; calls do not mix; what the machine's end interrupts fails", async () => {
  const { device, read, write, scope } = make()
  write(FCR, 1)
  const one = Effect.runFork(device.write(new Uint8Array(100_000).fill(97)))
  const two = Effect.runFork(device.write(new Uint8Array(50_000).fill(98)))
  const seen: number[] = []
  for (let waited = 0; seen.length < 150_000 && waited < 1000; waited++) {
    await turn()
    while ((read(LSR) & 1) !== 0) seen.push(read(RBR))
    assert.ok(device.save().input.length <= MAX_INPUT_BYTES)
  }
  assert.is(seen.length, 150_000)
  assert.is(seen.lastIndexOf(97), 99_999)
  await Effect.runPromise(Fiber.join(one))
  await Effect.runPromise(Fiber.join(two))
  const three = Effect.runFork(Effect.flip(device.write(new Uint8Array(200_000))))
  await turn()
  Effect.runSync(Scope.close(scope, Exit.void))
  assert.is((await Effect.runPromise(Fiber.join(three))).code, "CRYOVM_DEVICE_CLOSED")
})

test("output comes in batches, a late reader gets the scrollback once, a slow one loses the oldest", async () => {
  const { device, write, scope } = make()
  const chunks: string[] = []
  const stop = device.onOutput((bytes) => void chunks.push(string(bytes)))
  for (const byte of text("batched")) write(THR, byte)
  assert.is(chunks.length, 0)
  await turn()
  assert.equal(chunks, ["batched"])
  stop()
  for (const byte of text(" late")) write(THR, byte)
  let seen = ""
  const reader = Effect.runFork(
    Stream.runForEach(device.output, (bytes) =>
      Effect.sync(() => {
        seen += string(bytes)
      }),
    ),
  )
  await turn()
  for (const byte of text(" live")) write(THR, byte)
  await turn()
  await turn()
  assert.is(seen, "batched late live")
  for (let index = 0; index < 3 * SCROLLBACK_BYTES; index++) write(THR, index & 0x7f)
  assert.is(device.scrollback().length, SCROLLBACK_BYTES)
  assert.is(device.scrollback().at(-1), (3 * SCROLLBACK_BYTES - 1) & 0x7f)
  await turn()
  await turn()
  assert.ok(seen.length <= 17 + SCROLLBACK_BYTES + 4096)
  Effect.runSync(Scope.close(scope, Exit.void))
  await Effect.runPromise(Fiber.join(reader))
})

test("restored in the middle of a transmission, the interrupt that drives it comes again", () => {
  const one = make()
  one.write(FCR, 0xc1)
  one.write(IER, 0x07)
  one.write(THR, 65)
  one.device.offer(text("input that does not fit into the fifo"))
  Effect.runSync(one.device.quiesce)
  one.pulses()
  one.device.offer(text(" and more"))
  assert.is(one.pulses(), 0, "quiesced")
  const saved = one.device.save()
  const two = make()
  Effect.runSync(two.device.restore(serialComponent.decode(serialComponent.encode(saved))))
  assert.equal(two.device.save(), saved)
  assert.is(two.pulses(), 0, "not before the machine resumes")
  two.device.kick()
  assert.is(two.pulses(), 1)
  assert.is(two.read(IIR), 0xc4)
  let seen = ""
  while ((two.read(LSR) & 1) !== 0) seen += String.fromCharCode(two.read(RBR))
  assert.is(seen, "input that does not fit into the fifo and more")
  assert.is(two.read(IIR), 0xc2, "and the transmitter still wants to go on")
  two.write(THR, 66)
  assert.ok(two.pulses() >= 1)
  assert.is(string(two.device.scrollback()), "B")
  two.read(IIR)
  two.device.kick()
  assert.is(two.pulses(), 0, "nothing pending, nothing raised")
})

test("a state that no UART has is refused, and changes nothing", () => {
  const { device } = make()
  const before = device.save()
  for (const change of [
    { interruptEnable: 0x10 },
    { modemControl: 0x20 },
    { modemDelta: 0x10 },
    { receiveFifo: new Uint8Array(2) },
  ]) {
    assert.is(Effect.runSync(Effect.flip(device.restore({ ...before, ...change }))).code, "CRYOVM_DEVICE_STATE_REFUSED")
    assert.equal(device.save(), before)
  }
})

test("any sequence of accesses: sane answers, and save, restore, save are equal", () => {
  const access = fc.oneof(
    fc.record({ register: fc.nat(7), value: fc.option(fc.nat(255), { nil: undefined }) }),
    fc.record({ register: fc.constant(8), value: fc.nat(40) }),
  )
  fc.assert(
    fc.property(fc.array(access, { maxLength: 120 }), (accesses) => {
      const one = make()
      for (const { register, value } of accesses) {
        if (register === 8) one.device.offer(new Uint8Array(value ?? 0).fill(7))
        else if (value === undefined) {
          const answer = one.read(register)
          assert.ok(answer >= 0 && answer <= 255)
        } else one.write(register, value)
      }
      Effect.runSync(one.device.quiesce)
      const saved = one.device.save()
      const two = make()
      Effect.runSync(two.device.restore(serialComponent.decode(serialComponent.encode(saved))))
      assert.equal(two.device.save(), saved)
      one.pulses()
      one.device.kick()
      two.device.kick()
      assert.is(one.pulses(), two.pulses())
      for (const register of [IIR, LSR, RBR, MSR, IIR]) assert.is(two.read(register), one.read(register))
    }),
    { numRuns: 500 },
  )
})

test("no interrupt is lost: whenever one is newly pending there was an edge", () => {
  const access = fc.record({ register: fc.nat(8), value: fc.option(fc.nat(255), { nil: undefined }) })
  fc.assert(
    fc.property(fc.array(access, { maxLength: 150 }), (accesses) => {
      const { device, read, write, pulses } = make()
      /** By the IIR's contract, from the saved registers. */
      const pending = () => {
        const state = device.save()
        const enabled = state.interruptEnable
        return (
          ((enabled & 1) !== 0 && state.receiveFifo.length > 0) ||
          ((enabled & 2) !== 0 && state.transmitterEmptyPending) ||
          ((enabled & 4) !== 0 && state.overrunError) ||
          ((enabled & 8) !== 0 && state.modemDelta !== 0)
        )
      }
      let was = pending()
      for (const { register, value } of accesses) {
        pulses()
        if (register === 8) device.offer(new Uint8Array(3))
        else if (value === undefined) read(register)
        else write(register, value)
        const is = pending()
        if (is && !was) assert.ok(pulses() > 0)
        was = is
      }
    }),
    { numRuns: 500 },
  )
})

test("a reset is power on again", () => {
  const { device, write } = make()
  const fresh = device.save()
  write(FCR, 0xc1)
  write(IER, 0x0f)
  write(LCR, 0x83)
  device.offer(text("x".repeat(50)))
  device.reset()
  assert.equal(device.save(), fresh)
})

test.run()
