/**
 * Requests to the guest agent and the matching of its replies. Many requests may be in flight.
 *
 * Request ids start at random: a reply still under way to an earlier process that ran this guest matches nothing.
 */
import { randomInt } from "node:crypto"
import * as os from "node:os"
import * as Effect from "effect/Effect"
import {
  GuestAgentTooOld,
  type GuestError,
  GuestProtocolError,
  GuestRequestFailed,
  GuestRequestTooLarge,
  GuestTimeout,
  GuestUnavailable,
} from "./errors.ts"
import { encodeFrame, type Frame, FrameReader, MAX_PAYLOAD } from "./frame.ts"
import { PayloadReader } from "./payload.ts"

/** The way to the agent: bytes in order, both ways. */
export interface AgentChannel {
  /** Waits for room, then hands over all of `bytes`. */
  send(bytes: Uint8Array): Effect.Effect<void, GuestUnavailable>
  /** Calls `listener` with what the guest sends; `bytes` is only valid during the call. Returns the unsubscription. */
  onData(listener: (bytes: Uint8Array) => void): () => void
}

/** One request. */
export interface AgentRequest<A> {
  readonly operation: string
  readonly op: number
  readonly payload: Uint8Array
  /** Version of the protocol that brought this op: older agents answer it with ENOSYS. The first by default. */
  readonly since?: number
  /** Reads the final reply. What it throws becomes a {@link GuestProtocolError}. */
  readonly read: (reply: PayloadReader) => A
  /** Frames of the same id and another op, before the final reply. An error it gives ends the request. */
  readonly onPart?: (op: number, part: PayloadReader) => GuestError | undefined
  /** Told to the guest when the caller gives up on the request of this id; no answer is waited for. */
  readonly onAbandon?: (id: number) => { readonly op: number; readonly payload: Uint8Array }
  /** Milliseconds until {@link GuestTimeout}; none by default. */
  readonly timeoutMs?: number
}

/** Where requests go. */
export interface AgentRequests {
  /** Sends one request and waits for its final reply. Interruption abandons it, telling the guest where it matters. */
  request<A>(request: AgentRequest<A>): Effect.Effect<A, GuestError>
}

const errnoNames = new Map(Object.entries(os.constants.errno).map(([name, value]) => [value, name]))

const tooOld = (operation: string, protocolVersion: number): GuestAgentTooOld =>
  new GuestAgentTooOld({
    message: `guest: ${operation}: the agent of this guest is older and does not know the request, which takes version ${protocolVersion} of its protocol; boot a guest with the initramfs of this release, and take the snapshot anew`,
    operation,
    protocolVersion,
  })

const requestFailed = (
  { operation, since }: { readonly operation: string; readonly since?: number },
  errno: number,
): GuestAgentTooOld | GuestRequestFailed => {
  if (since !== undefined && errno === os.constants.errno.ENOSYS) return tooOld(operation, since)
  const errnoName = errnoNames.get(errno) ?? `errno ${errno}`
  return new GuestRequestFailed({ message: `guest: ${operation}: ${errnoName}`, operation, errno, errnoName })
}

const tooLarge = (operation: string, bytes: number): GuestRequestTooLarge =>
  new GuestRequestTooLarge({
    message: `${operation}: the request has ${bytes} bytes, the guest agent takes ${MAX_PAYLOAD}; write large input to a file of the guest first`,
    operation,
    bytes,
    limit: MAX_PAYLOAD,
  })

const protocolError = (operation: string, cause: unknown): GuestProtocolError =>
  new GuestProtocolError({ message: `the guest agent's answer to ${operation} makes no sense`, operation, cause })

/** The client of one channel. */
export class AgentClient implements AgentRequests {
  readonly #channel: AgentChannel
  readonly #pending = new Map<number, (frame: Frame | GuestUnavailable) => void>()
  readonly #reader = new FrameReader()
  readonly #unsubscribe: () => void
  #closed: GuestUnavailable | undefined
  #nextId = randomInt(2 ** 32)

  constructor(channel: AgentChannel) {
    this.#channel = channel
    this.#unsubscribe = channel.onData((bytes) => {
      for (const frame of this.#reader.push(bytes)) this.#pending.get(frame.id)?.(frame)
    })
  }

  /** Requests sent and not yet answered. */
  get inFlight(): number {
    return this.#pending.size
  }

  request<A>(request: AgentRequest<A>): Effect.Effect<A, GuestError> {
    const answered = Effect.callback<A, GuestError>((resume) => {
      if (this.#closed !== undefined) {
        resume(Effect.fail(this.#closed))
        return
      }
      if (request.payload.length > MAX_PAYLOAD) {
        resume(Effect.fail(tooLarge(request.operation, request.payload.length)))
        return
      }
      const id = this.#takeId()
      const finish = (result: Effect.Effect<A, GuestError>): void => {
        this.#pending.delete(id)
        resume(result)
      }
      this.#pending.set(id, (frame) => {
        if (frame instanceof GuestUnavailable) finish(Effect.fail(frame))
        else this.#receive(request, id, frame, finish)
      })
      const send = this.#channel.send(encodeFrame(id, request.op, request.payload))
      const sending = Effect.runFork(Effect.catch(send, (error) => Effect.sync(() => finish(Effect.fail(error)))))
      return Effect.sync(() => {
        sending.interruptUnsafe()
        if (this.#pending.delete(id)) this.#abandon(request, id)
      })
    })
    if (request.timeoutMs === undefined) return answered
    const timeoutMs = request.timeoutMs
    return answered.pipe(
      Effect.timeoutOrElse({
        duration: timeoutMs,
        orElse: () =>
          Effect.fail(
            new GuestTimeout({
              message: `the guest agent did not answer ${request.operation} within ${timeoutMs} ms`,
              operation: request.operation,
              timeoutMs,
            }),
          ),
      }),
    )
  }

  /** Fails everything in flight and everything to come. */
  close(reason: GuestUnavailable): void {
    if (this.#closed !== undefined) return
    this.#closed = reason
    this.#unsubscribe()
    for (const settle of [...this.#pending.values()]) settle(reason)
  }

  #takeId(): number {
    const id = this.#nextId
    this.#nextId = (id + 1) >>> 0
    return id
  }

  #receive<A>(
    request: AgentRequest<A>,
    id: number,
    frame: Frame,
    finish: (result: Effect.Effect<A, GuestError>) => void,
  ): void {
    try {
      if (frame.op !== request.op) {
        const stop = request.onPart?.(frame.op, new PayloadReader(frame.payload))
        if (stop === undefined) return
        this.#abandon(request, id)
        finish(Effect.fail(stop))
      } else if (frame.status !== 0) {
        finish(Effect.fail(requestFailed(request, frame.status)))
      } else {
        finish(Effect.succeed(request.read(new PayloadReader(frame.payload))))
      }
    } catch (cause) {
      finish(Effect.fail(protocolError(request.operation, cause)))
    }
  }

  #abandon<A>(request: AgentRequest<A>, id: number): void {
    const farewell = request.onAbandon?.(id)
    if (farewell === undefined || this.#closed !== undefined) return
    Effect.runFork(Effect.ignore(this.#channel.send(encodeFrame(this.#takeId(), farewell.op, farewell.payload))))
  }
}
