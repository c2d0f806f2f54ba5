/**
 * What the guest agent can do, as Effects. The numbers are those of `guest/agent/PROTOCOL.md`.
 */
import { randomBytes } from "node:crypto"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { AgentRequests } from "./client.ts"
import { GuestEntropyInvalid, type GuestError, GuestOutputTooLarge, GuestTimeout } from "./errors.ts"
import { type PayloadReader, PayloadWriter } from "./payload.ts"
import { parseMeminfo, parseVmstat } from "./proc-files.ts"
import type {
  AgentHello,
  ExecOptions,
  ExecResult,
  FillMemoryOptions,
  FillMemoryResult,
  GuestCounter,
  GuestTime,
  ReadMemoryResult,
  ReseedOptions,
} from "./types.ts"

const Op = {
  hello: 1,
  exec: 2,
  execOutput: 3,
  kill: 4,
  fillMemory: 5,
  release: 6,
  readMemory: 7,
  memoryInfo: 8,
  dropCaches: 9,
  writeFile: 10,
  readFile: 11,
  time: 12,
  sleep: 13,
  counter: 14,
  counterStart: 15,
  powerOff: 16,
  readPhysical: 17,
  reseed: 18,
} as const

const SIGKILL = 9
const NOTHING = new Uint8Array(0)
/** Bytes a frame of a file carries; below the protocol's limit with room for the other fields. */
const FILE_PIECE = 512 * 1024

/** Bytes of entropy that the agent takes, and how many are drawn for it where none are given. */
const ENTROPY = { min: 16, max: 512, default: 64 } as const

const readNothing = (): void => undefined

const entropyInvalid = (entropy: unknown): GuestEntropyInvalid =>
  new GuestEntropyInvalid({
    message: `entropy: ${ENTROPY.min} to ${ENTROPY.max} bytes are wanted as a Uint8Array, not ${entropy instanceof Uint8Array ? entropy.length : typeof entropy}`,
    minBytes: ENTROPY.min,
    maxBytes: ENTROPY.max,
  })

/** Collects one output stream up to a limit. */
class Collected {
  readonly #pieces: Uint8Array[] = []
  #length = 0

  add(piece: Uint8Array): number {
    this.#pieces.push(piece)
    this.#length += piece.length
    return this.#length
  }

  finish(): Buffer {
    return Buffer.concat(this.#pieces)
  }
}

/** The agent in the guest, whichever guest that is when an effect is run. */
export class GuestAgent {
  readonly #present: () => AgentRequests
  readonly #client: AgentRequests

  /** @param present the client of the guest of the moment */
  constructor(present: () => AgentRequests) {
    this.#present = present
    this.#client = { request: (request) => Effect.suspend(() => present().request(request)) }
  }

  /** Waits until the agent answers. @param timeoutMs 60,000 by default: a guest boots in seconds where KVM is slow */
  ready(options: { readonly timeoutMs?: number } = {}): Effect.Effect<AgentHello, GuestError> {
    const timeoutMs = options.timeoutMs ?? 60_000
    // Asked again every quarter of a second: what is sent before the guest has set its terminal up is lost or echoed.
    return this.hello(250).pipe(
      Effect.retry({
        while: (error) => error._tag === "GuestTimeout" || error._tag === "GuestProtocolError",
        schedule: Schedule.forever,
      }),
      Effect.timeoutOrElse({
        duration: timeoutMs,
        orElse: () =>
          Effect.fail(
            new GuestTimeout({
              message: `no answer of a guest agent within ${timeoutMs} ms; the guest may still be booting, or runs none`,
              operation: "ready",
              timeoutMs,
            }),
          ),
      }),
    )
  }

  /** One greeting. */
  hello(timeoutMs?: number): Effect.Effect<AgentHello, GuestError> {
    return this.#client.request({
      operation: "hello",
      op: Op.hello,
      payload: NOTHING,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      read: (reply) => ({
        protocolVersion: reply.u32(),
        bootNonce: reply.u64(),
        kernelRelease: reply.text(),
        agentVersion: reply.text(),
      }),
    })
  }

  /**
   * Runs a program and waits for its end. A string is given to `/bin/sh -c`. Interruption kills its process group.
   */
  exec(command: string | readonly string[], options: ExecOptions = {}): Effect.Effect<ExecResult, GuestError> {
    return Effect.suspend(() => {
      const argv = typeof command === "string" ? ["/bin/sh", "-c", command] : command
      const environment = Object.entries(options.env ?? {})
      const payload = new PayloadWriter()
        .u32(0)
        .u32(options.timeoutMs ?? 0)
        .bytes(options.cwd ?? "")
        .u32(argv.length)
      for (const argument of argv) payload.bytes(argument)
      payload.u32(environment.length)
      for (const [name, value] of environment) payload.bytes(`${name}=${value}`)
      payload.bytes(options.stdin ?? NOTHING)

      const limit = options.maxOutputBytes ?? 16 * 1024 * 1024
      const stdout = new Collected()
      const stderr = new Collected()
      const onOutput = (part: PayloadReader): GuestOutputTooLarge | undefined => {
        const toStderr = part.u32() === 2
        const piece = part.bytes()
        const length = options.collectOutput === false ? 0 : (toStderr ? stderr : stdout).add(piece)
        const listener = toStderr ? options.onStderr : options.onStdout
        listener?.(piece)
        if (length <= limit) return undefined
        return new GuestOutputTooLarge({ message: `the program wrote more than ${limit} bytes; it was killed`, limit })
      }
      return this.#client.request({
        operation: "exec",
        op: Op.exec,
        payload: payload.finish(),
        onPart: (op, part) => (op === Op.execOutput ? onOutput(part) : undefined),
        onAbandon: (id) => ({ op: Op.kill, payload: new PayloadWriter().u32(id).u32(SIGKILL).finish() }),
        read: (reply) => {
          const code = reply.u32()
          const signal = reply.u32()
          const timedOut = reply.u32() !== 0
          const [stdoutBytes, stderrBytes] = [stdout.finish(), stderr.finish()]
          return {
            exitCode: signal === 0 ? code : 128 + signal,
            signal,
            timedOut,
            stdout: stdoutBytes.toString("utf8"),
            stderr: stderrBytes.toString("utf8"),
            stdoutBytes,
            stderrBytes,
          }
        },
      })
    })
  }

  /** Touches `mib` MiB of memory in a program of its own, filling each page. */
  fillMemory(mib: number, options: FillMemoryOptions = {}): Effect.Effect<FillMemoryResult, GuestError> {
    const flags = (options.huge ? 1 : 0) | (options.hold ? 2 : 0)
    return this.#client.request({
      operation: "fillMemory",
      op: Op.fillMemory,
      payload: new PayloadWriter()
        .u32(mib)
        .u32(options.pattern ?? 0xa5)
        .u32(flags)
        .finish(),
      read: (reply) => ({
        handle: reply.u32(),
        nanoseconds: reply.u64(),
        signal: reply.u32(),
        hugeBytes: reply.u64(),
      }),
    })
  }

  /** Gives back what `fillMemory` held. */
  releaseMemory(handle: number): Effect.Effect<void, GuestError> {
    return this.#simple("releaseMemory", Op.release, new PayloadWriter().u32(handle))
  }

  /** Counts the pages of held memory that lost their pattern. */
  verifyMemory(handle: number): Effect.Effect<ReadMemoryResult, GuestError> {
    return this.#readMemory(handle, 0, 0, false)
  }

  /** Maps `mib` MiB of fresh memory and counts the pages that are not zero. */
  readFreshMemory(mib: number, options: { readonly huge?: boolean } = {}): Effect.Effect<ReadMemoryResult, GuestError> {
    return this.#readMemory(0, mib, 0, options.huge ?? false)
  }

  /** Pages of raw physical memory, from page frame `firstPfn`, that are not zero. */
  readPhysical(firstPfn: bigint, count: number): Effect.Effect<bigint, GuestError> {
    return this.#client.request({
      operation: "readPhysical",
      op: Op.readPhysical,
      payload: new PayloadWriter().u64(firstPfn).u32(count).finish(),
      read: (reply) => reply.u64(),
    })
  }

  /** `/proc/meminfo` in bytes by name, and `/proc/vmstat`. */
  memoryInfo(): Effect.Effect<
    { readonly meminfo: ReadonlyMap<string, number>; readonly vmstat: ReadonlyMap<string, number> },
    GuestError
  > {
    return this.#client.request({
      operation: "memoryInfo",
      op: Op.memoryInfo,
      payload: NOTHING,
      read: (reply) => ({ meminfo: parseMeminfo(reply.text()), vmstat: parseVmstat(reply.text()) }),
    })
  }

  /** Writes back and drops the guest's page cache; `compact` also compacts memory. */
  dropCaches(options: { readonly compact?: boolean } = {}): Effect.Effect<void, GuestError> {
    return this.#simple("dropCaches", Op.dropCaches, new PayloadWriter().u32(options.compact ? 1 : 0))
  }

  /** Writes a file whole. @param mode permission bits, 0o644 by default */
  writeFile(path: string, content: string | Uint8Array, mode = 0o644): Effect.Effect<void, GuestError> {
    const bytes = typeof content === "string" ? Buffer.from(content) : content
    const piece = (client: AgentRequests, offset: number) =>
      client.request({
        operation: "writeFile",
        op: Op.writeFile,
        payload: new PayloadWriter()
          .bytes(path)
          .u32(mode)
          .u32(offset === 0 ? 0 : 1)
          .bytes(bytes.subarray(offset, offset + FILE_PIECE))
          .finish(),
        read: readNothing,
      })
    return Effect.gen({ self: this }, function* () {
      // All pieces go to one guest.
      const client = this.#present()
      yield* piece(client, 0)
      for (let offset = FILE_PIECE; offset < bytes.length; offset += FILE_PIECE) yield* piece(client, offset)
    })
  }

  /** Reads a file whole. @param maxBytes 64 MiB by default; a longer file is a {@link GuestOutputTooLarge} */
  readFile(path: string, maxBytes = 64 * 1024 * 1024): Effect.Effect<Uint8Array, GuestError> {
    const piece = (client: AgentRequests, offset: number) =>
      client.request({
        operation: "readFile",
        op: Op.readFile,
        payload: new PayloadWriter().bytes(path).u64(BigInt(offset)).u32(FILE_PIECE).finish(),
        read: (reply) => reply.bytes(),
      })
    return Effect.gen({ self: this }, function* () {
      // All pieces come from one guest.
      const client = this.#present()
      const pieces: Uint8Array[] = []
      let length = 0
      // Files of /proc tell no size: read on until a piece is empty.
      for (;;) {
        const bytes = yield* piece(client, length)
        if (bytes.length === 0) return new Uint8Array(Buffer.concat(pieces))
        pieces.push(bytes)
        length += bytes.length
        if (length > maxBytes) {
          return yield* new GuestOutputTooLarge({
            message: `${path} is longer than ${maxBytes} bytes`,
            limit: maxBytes,
          })
        }
      }
    })
  }

  time(): Effect.Effect<GuestTime, GuestError> {
    return this.#client.request({
      operation: "time",
      op: Op.time,
      payload: NOTHING,
      read: (reply) => ({ monotonic: reply.u64(), boottime: reply.u64(), realtime: reply.u64() }),
    })
  }

  /** Answers after `ms` milliseconds of the guest's own time. */
  sleep(ms: number): Effect.Effect<void, GuestError> {
    return this.#simple("sleep", Op.sleep, new PayloadWriter().u32(ms))
  }

  /** Makes the agent's counter grow by one every `tickMs` milliseconds; 0 stops it. */
  startCounter(tickMs: number): Effect.Effect<void, GuestError> {
    return this.#simple("startCounter", Op.counterStart, new PayloadWriter().u32(tickMs))
  }

  /** Reads the agent's counter, which also grows by one at each reading. */
  counter(): Effect.Effect<GuestCounter, GuestError> {
    return this.#client.request({
      operation: "counter",
      op: Op.counter,
      payload: NOTHING,
      read: (reply) => ({ value: reply.u64(), bootNonce: reply.u64(), monotonic: reply.u64() }),
    })
  }

  /**
   * Gives the guest's kernel entropy and makes it take new keys for its random numbers at once. Two machines restored
   * from one snapshot may otherwise draw the same. What was drawn before stays, and so do generators of programs' own.
   *
   * Fails with `GuestAgentTooOld` in a guest that was booted by a release before this request.
   */
  reseed(options: ReseedOptions = {}): Effect.Effect<void, GuestError> {
    // Drawn when it runs: one effect may be run for many guests.
    return Effect.suspend(() => {
      const entropy: unknown = options.entropy ?? randomBytes(ENTROPY.default)
      if (!(entropy instanceof Uint8Array) || entropy.length < ENTROPY.min || entropy.length > ENTROPY.max) {
        return Effect.fail(entropyInvalid(entropy))
      }
      return this.#client.request({
        operation: "reseed",
        op: Op.reseed,
        since: 2,
        payload: new PayloadWriter().bytes(entropy).finish(),
        read: readNothing,
      })
    })
  }

  /** Asks the guest to end. `reset` ends in a reset by the keyboard controller, `halt` in a halt. */
  powerOff(how: "reset" | "halt" = "reset"): Effect.Effect<void, GuestError> {
    return this.#simple("powerOff", Op.powerOff, new PayloadWriter().u32(how === "reset" ? 0 : 1))
  }

  #simple(operation: string, op: number, payload: PayloadWriter): Effect.Effect<void, GuestError> {
    return this.#client.request({ operation, op, payload: payload.finish(), read: readNothing })
  }

  #readMemory(
    handle: number,
    mib: number,
    pattern: number,
    huge: boolean,
  ): Effect.Effect<ReadMemoryResult, GuestError> {
    const payload = new PayloadWriter()
      .u32(handle)
      .u32(mib)
      .u32(pattern)
      .u32(huge ? 1 : 0)
    return this.#client.request({
      operation: "readMemory",
      op: Op.readMemory,
      payload: payload.finish(),
      read: (reply) => ({
        pages: reply.u64(),
        pagesNotPattern: reply.u64(),
        pagesNotZero: reply.u64(),
        signal: reply.u32(),
      }),
    })
  }
}
