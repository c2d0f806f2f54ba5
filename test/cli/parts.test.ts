/** The command's parts that can be tested without a process. */
import { test } from "uvu"
import * as assert from "uvu/assert"
import { continuityProblems, tickingProblems } from "../../src/cli/demo/continuity.ts"
import { exitCodeOf } from "../../src/cli/exit-codes.ts"
import { describeError, RemoteError } from "../../src/cli/output/describe-error.ts"
import { formatAge, formatBytes, formatDuration, plural } from "../../src/cli/output/format.ts"
import { table } from "../../src/cli/output/table.ts"
import { painter, printable } from "../../src/cli/output/terminal.ts"
import { ConsoleTail } from "../../src/cli/session/console-tail.ts"
import { EscapeKeys } from "../../src/cli/session/escape-keys.ts"
import { parseLine } from "../../src/cli/session/guest-lines.ts"
import { defaultName } from "../../src/cli/session/snapshot-target.ts"
import { ConfigInvalid, GuestUnavailable, VcpuFailed } from "../../src/errors.ts"

test("bytes for people", () => {
  const expected = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [12.3 * 2 ** 20, "12.3 MiB"],
    [128 * 2 ** 20, "128 MiB"],
    [2 ** 20 - 1, "1.0 MiB"],
    [5 * 2 ** 40, "5 TiB"],
    [5000 * 2 ** 40, "5000 TiB"],
  ] as const
  for (const [bytes, text] of expected) assert.is(formatBytes(bytes), text)
})

test("durations for people", () => {
  const expected = [
    [0, "0.00 ms"],
    [0.45, "0.45 ms"],
    [0.999, "1.0 ms"],
    [4.52, "4.5 ms"],
    [99.96, "100 ms"],
    [123.4, "123 ms"],
    [999.6, "1.00 s"],
    [4560, "4.56 s"],
    [59_996, "1 min 0 s"],
    [123_000, "2 min 3 s"],
  ] as const
  for (const [milliseconds, text] of expected) assert.is(formatDuration(milliseconds), text)
  assert.is(plural(1, "vCPU"), "1 vCPU")
  assert.is(plural(2, "vCPU"), "2 vCPUs")
})

test("ages for people", () => {
  const expected = [
    [-5, "0 s"],
    [59_999, "59 s"],
    [60_000, "1 min"],
    [3_599_999, "59 min"],
    [3_600_000, "1 h"],
    [86_399_999, "23 h"],
    [86_400_000, "1 d"],
    [400 * 86_400_000, "400 d"],
  ] as const
  for (const [milliseconds, text] of expected) assert.is(formatAge(milliseconds), text)
})

test("columns line up, whatever colours are in them", () => {
  assert.equal(table([["a", "1"], ["\u001b[31mbbb\u001b[39m", "22", "x"], []], [1]), [
    "a     1",
    "\u001b[31mbbb\u001b[39m  22  x",
    "",
  ])
})

test("control characters are made visible", () => {
  assert.is(printable("a\u001b]0;x\u0007\n\u009b1mé"), "a\\u001b]0;x\\u0007\\u000a\\u009b1mé")
})

test("colours only for a terminal that has them", () => {
  const stream = (isTTY: boolean, colours: boolean) =>
    ({ isTTY, hasColors: () => colours }) as unknown as Parameters<typeof painter>[0]
  assert.is(painter(stream(true, true))("red", "x"), "\u001b[31mx\u001b[39m")
  assert.is(painter(stream(true, false))("red", "x"), "x")
  assert.is(painter(stream(false, true))("red", "x"), "x")
})

const input = (text: string) => ({ type: "input", bytes: new Uint8Array(Buffer.from(text)) })

test("keys after Ctrl-A are for us, in whatever pieces they come", () => {
  const keys = new EscapeKeys()
  assert.equal(keys.feed(Buffer.from("ab\u0001xcd")), [input("ab"), { type: "end" }, input("cd")])
  assert.equal(keys.feed(Buffer.from("\u0001")), [])
  assert.equal(keys.feed(Buffer.from("S")), [{ type: "snapshot" }])
  assert.equal(keys.feed(Buffer.from("\u0001\u0001\u0001ab")), [input("\u0001\u0001b")])
  assert.equal(keys.feed(Buffer.from("\u0001qx")), [{ type: "help" }, input("x")])
  assert.equal(keys.feed(Buffer.from("")), [])
})

test("lines of the shell", () => {
  const types = new Map([
    ["", "empty"],
    ["  ", "empty"],
    ["ls -l", "run"],
    ["cd", "directory"],
    ["cd /tmp", "directory"],
    [" cd  'a b' ", "directory"],
    ["cd /tmp && ls", "run"],
    ["cd $(pwd)", "run"],
    ["cdx", "run"],
    [": > file", "run"],
    ["exit", "exit"],
    ["exit 3", "exit"],
    ["exit now", "run"],
    [":quit", "exit"],
    [":help", "help"],
    [":snapshot", "snapshot"],
    [":fly", "unknown"],
  ])
  for (const [text, type] of types) assert.is(parseLine(text).type, type, text)
  assert.equal(parseLine("exit 3"), { type: "exit", code: 3 })
  assert.equal(parseLine(":snapshot a  b"), { type: "snapshot", dir: "a b" })
})

test("the end of a console, safe to print", async () => {
  const pieces = ["one\r\ntw", "o\n\n\u001b[31mred\u001b[0m\u0008\nlast, ", "open"]
  const output = (async function* () {
    for (const piece of pieces) yield Buffer.from(piece)
    await new Promise((resolve) => setImmediate(resolve))
  })()
  const tail = new ConsoleTail(output)
  await new Promise((resolve) => setTimeout(resolve, 20))
  await tail.stop()
  assert.equal(tail.lines, ["one", "two", "red\\u0008", "last, open"])
  assert.is(tail.last, "last, open")
})

test("a line without an end does not make the tail grow", async () => {
  const output = (async function* () {
    for (let piece = 0; piece < 100; piece++) yield Buffer.alloc(1000, 0x61)
  })()
  const tail = new ConsoleTail(output)
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.is(tail.lines.length, 1)
  assert.ok(tail.last.length <= 400)
})

test("names of snapshots without a name", () => {
  assert.is(defaultName(new Date(2026, 0, 31, 9, 5, 7)), "cryovm-20260131-090507")
})

const reading = (value: number, milliseconds: number, bootNonce = 7n) => ({
  value: BigInt(value),
  bootNonce,
  monotonic: BigInt(milliseconds) * 1_000_000n,
})

test("a counter that went on, and counters that did not", () => {
  const problems = (...after: Parameters<typeof reading>) =>
    continuityProblems(reading(100, 1000), reading(...after), { tickMs: 50, readings: 1 })
  assert.equal(problems(101, 1001), [])
  assert.equal(problems(112, 1500), [])
  assert.match(problems(101, 1001, 8n)[0] ?? "", "another guest")
  assert.match(problems(1, 1500)[0] ?? "", "did not go on")
  assert.match(problems(100, 1001)[0] ?? "", "did not go on")
  assert.match(problems(113, 1500)[0] ?? "", "jumped")
  assert.match(problems(101, 900)[0] ?? "", "clock went back")
  assert.equal(tickingProblems(reading(1, 0), reading(3, 100)), [])
  assert.is(tickingProblems(reading(1, 0), reading(2, 100)).length, 1)
})

test("a configuration's fields are told as options", () => {
  const error = new ConfigInvalid({
    message: "the configuration is not valid",
    issues: [
      { path: "memoryMib", message: "too small" },
      { path: "devices.rng", message: "odd" },
    ],
  })
  const { message, code } = describeError(error)
  assert.is(message, "--memory: too small; devices.rng: odd")
  assert.is(exitCodeOf(code), 2)
})

test("an error keeps its code, causes and registers from one process to the next", () => {
  const failed = new VcpuFailed({
    message: "vCPU 0: triple fault",
    vcpu: 0,
    reason: "tripleFault",
    exit: "KVM_EXIT_SHUTDOWN",
    registers: { rip: 0x1000n },
    instructionBytes: new Uint8Array(0),
    cause: new Error("deeper"),
  })
  const error = new GuestUnavailable({ message: "the machine failed", cause: failed })
  const described = describeError(error)
  assert.equal(described, {
    message: "the machine failed",
    code: "CRYOVM_GUEST_UNAVAILABLE",
    causes: [{ message: "vCPU 0: triple fault", code: "CRYOVM_VCPU_FAILED" }, { message: "deeper" }],
    registers: { rip: 0x1000n },
  })
  assert.equal(describeError(new RemoteError(described)), described)
})

test("what nobody foresaw keeps its stack; a circle of causes ends", () => {
  const defect = new TypeError("x is not a function")
  assert.is(describeError(defect).stack, defect.stack)
  const circle = new Error("round")
  circle.cause = circle
  assert.is(describeError(circle).causes.length, 0)
  assert.is(describeError("text").message, "text")
})

test.run()
