import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { GuestAgent } from "../../src/guest/agent.ts"
import { AgentClient } from "../../src/guest/client.ts"
import { GuestUnavailable } from "../../src/guest/errors.ts"
import { encodeFrame, type Frame, FrameReader } from "../../src/guest/frame.ts"
import { PayloadReader, PayloadWriter } from "../../src/guest/payload.ts"

type Answer = (frame: Frame, reply: (op: number, payload: Uint8Array, status?: number) => void) => void

/** An agent over a channel whose other end is `answer`. */
const agentWith = (answer: Answer) => {
  let deliver: (bytes: Uint8Array) => void = () => {}
  const requests: Frame[] = []
  const reader = new FrameReader()
  const client = new AgentClient({
    onData: (listener) => {
      deliver = listener
      return () => {
        deliver = () => {}
      }
    },
    send: (bytes) =>
      Effect.sync(() => {
        for (const frame of reader.push(bytes)) {
          requests.push(frame)
          answer(frame, (op, payload, status = 0) => {
            const bytes = encodeFrame(frame.id, op, payload)
            const view = new DataView(bytes.buffer)
            view.setUint16(10, status, true)
            view.setUint32(16, (view.getUint32(16, true) ^ (status << 16)) >>> 0, true)
            queueMicrotask(() => deliver(bytes))
          })
        }
      }),
  })
  return { agent: new GuestAgent(() => client), client, requests }
}

const failureOf = <A, E>(effect: Effect.Effect<A, E>): Promise<E> => Effect.runPromise(Effect.flip(effect) as never)

test("exec collects output and tells how the program ended", async () => {
  const { agent } = agentWith((frame, reply) => {
    assert.is(frame.op, 2)
    reply(3, new PayloadWriter().u32(1).bytes("hel").finish())
    reply(3, new PayloadWriter().u32(2).bytes("oops").finish())
    reply(3, new PayloadWriter().u32(1).bytes("lo").finish())
    reply(2, new PayloadWriter().u32(0).u32(9).u32(1).finish())
  })
  const result = await Effect.runPromise(agent.exec("true"))
  assert.is(result.stdout, "hello")
  assert.is(result.stderr, "oops")
  assert.is(result.exitCode, 137)
  assert.is(result.signal, 9)
  assert.ok(result.timedOut)
})

test("an errno becomes a typed error with its name", async () => {
  const { agent } = agentWith((_, reply) => reply(2, new Uint8Array(0), 2))
  const error = await failureOf(agent.exec(["/none"]))
  assert.is(error._tag, "GuestRequestFailed")
  assert.is(error._tag === "GuestRequestFailed" && error.errnoName, "ENOENT")
})

test("a reply that is too short is a protocol error", async () => {
  const { agent } = agentWith((_, reply) => reply(12, new Uint8Array(5)))
  assert.is((await failureOf(agent.time()))._tag, "GuestProtocolError")
})

test("a program that writes too much is killed", async () => {
  const { agent, requests } = agentWith((frame, reply) => {
    if (frame.op === 2) reply(3, new PayloadWriter().u32(1).bytes(new Uint8Array(2000)).finish())
  })
  const error = await failureOf(agent.exec("yes", { maxOutputBytes: 1000 }))
  assert.is(error._tag, "GuestOutputTooLarge")
  assert.equal(
    requests.map((frame) => frame.op),
    [2, 4],
  )
})

test("interruption kills the program in the guest", async () => {
  const { agent, requests } = agentWith(() => {})
  const fiber = Effect.runFork(agent.exec("sleep 100"))
  await new Promise((resolve) => setImmediate(resolve))
  await Effect.runPromise(Fiber.interrupt(fiber))
  await new Promise((resolve) => setImmediate(resolve))
  const kill = new PayloadReader(requests[1]?.payload ?? new Uint8Array(0))
  assert.is(kill.u32(), requests[0]?.id)
  assert.is(kill.u32(), 9)
})

test("closing fails what is in flight and what comes later", async () => {
  const { agent, client } = agentWith(() => {})
  const inFlight = failureOf(agent.sleep(10))
  await new Promise((resolve) => setImmediate(resolve))
  client.close(new GuestUnavailable({ message: "gone" }))
  assert.is((await inFlight)._tag, "GuestUnavailable")
  assert.is((await failureOf(agent.sleep(10)))._tag, "GuestUnavailable")
})

test("ready asks again until it is answered, past an echo of its own question", async () => {
  let asked = 0
  const { agent } = agentWith((frame, reply) => {
    asked++
    if (asked === 1) reply(frame.op, frame.payload)
    if (asked === 2) reply(1, new PayloadWriter().u32(1).u64(7n).bytes("6.1").bytes("1").finish())
  })
  const hello = await Effect.runPromise(agent.ready({ timeoutMs: 5000 }))
  assert.is(hello.bootNonce, 7n)
  assert.is(asked, 2)
})

test("ready gives up after its time", async () => {
  const { agent } = agentWith(() => {})
  const error = await failureOf(agent.ready({ timeoutMs: 300 }))
  assert.is(error._tag, "GuestTimeout")
})

test("files longer than a piece are written and read in pieces", async () => {
  const stored: Buffer[] = []
  const { agent } = agentWith((frame, reply) => {
    const payload = new PayloadReader(frame.payload)
    payload.text()
    if (frame.op === 10) {
      payload.u32()
      assert.is(payload.u32(), stored.length === 0 ? 0 : 1)
      stored.push(Buffer.from(payload.bytes()))
      reply(10, new Uint8Array(0))
    } else {
      const offset = Number(payload.u64())
      const whole = Buffer.concat(stored)
      const piece = whole.subarray(offset, offset + payload.u32())
      reply(11, new PayloadWriter().bytes(piece).u64(BigInt(whole.length)).finish())
    }
  })
  const content = new Uint8Array(1_300_000).map((_, index) => index % 251)
  await Effect.runPromise(agent.writeFile("/tmp/x", content))
  assert.is(stored.length, 3)
  assert.equal(await Effect.runPromise(agent.readFile("/tmp/x")), content)
})

test("reseed sends fresh bytes each time it runs, or those it is given", async () => {
  const { agent, requests } = agentWith((frame, reply) => reply(frame.op, new Uint8Array(0)))
  const reseed = agent.reseed()
  await Effect.runPromise(reseed)
  await Effect.runPromise(reseed)
  const own = new Uint8Array(16).map((_, index) => index)
  await Effect.runPromise(agent.reseed({ entropy: own }))
  assert.equal(
    requests.map((frame) => frame.op),
    [18, 18, 18],
  )
  const [first, second, third] = requests.map((frame) => new PayloadReader(frame.payload).bytes())
  assert.equal([first?.length, second?.length], [64, 64])
  assert.not.equal(first, second)
  assert.equal(third, own)
})

test("entropy that is too little, too much or no bytes is refused before it is sent", async () => {
  const { agent, requests } = agentWith(() => {})
  for (const entropy of [new Uint8Array(0), new Uint8Array(15), new Uint8Array(513), "secret" as never]) {
    const error = await failureOf(agent.reseed({ entropy }))
    assert.is(error._tag, "GuestEntropyInvalid")
    assert.match(error.message, /^entropy: 16 to 512 bytes/)
  }
  assert.is(requests.length, 0)
})

test("an agent that does not know a later request is told from one that fails", async () => {
  const ENOSYS = 38
  const { agent } = agentWith((frame, reply) => reply(frame.op, new Uint8Array(0), ENOSYS))
  const error = await failureOf(agent.reseed())
  assert.is(error._tag, "GuestAgentTooOld")
  assert.is(error._tag === "GuestAgentTooOld" && error.protocolVersion, 2)
  assert.match(error.message, /take the snapshot anew/)
  assert.is((await failureOf(agent.exec("true")))._tag, "GuestRequestFailed", "the first version knew exec")
  const { agent: unprivileged } = agentWith((frame, reply) => reply(frame.op, new Uint8Array(0), 1))
  const refused = await failureOf(unprivileged.reseed())
  assert.is(refused._tag === "GuestRequestFailed" && refused.errnoName, "EPERM")
})

test.run()
