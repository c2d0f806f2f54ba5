/** Bytes that a guest sends out, for any number of listeners. None of them can make the host's memory grow. */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

/** A stream of output was not read fast enough, and would have had to lose bytes. */
export class OutputOverrun extends Data.TaggedError("OutputOverrun")<{
  readonly message: string
  readonly device: string
  readonly limit: number
}> {
  readonly code = "CRYOVM_OUTPUT_OVERRUN"
}

/** Given each piece of output, as a copy that is its own. It must not block; what it throws is counted and dropped. */
export type OutputListener = (bytes: Uint8Array) => void

export class DeviceOutput {
  /** Listeners that threw. */
  listenerFaults = 0
  readonly #device: string
  readonly #listeners: Set<OutputListener> = new Set()
  readonly #endings: Set<() => void> = new Set()
  #closed = false

  constructor(device: string) {
    this.#device = device
  }

  /** Whether anyone listens. */
  get listeners(): number {
    return this.#listeners.size
  }

  /** Adds a listener. Returns a function that takes it away. */
  listen(listener: OutputListener): () => void {
    // Wrapped, so that adding the same function twice gives two listeners.
    const own: OutputListener = (bytes) => listener(bytes)
    this.#listeners.add(own)
    return () => {
      this.#listeners.delete(own)
    }
  }

  /** Hands `bytes` to every listener; they are the listeners' from now on. */
  emit(bytes: Uint8Array): void {
    for (const listener of this.#listeners) {
      try {
        listener(bytes)
      } catch {
        this.listenerFaults++
      }
    }
  }

  /** A stream from now on that fails rather than lose a byte, once its reader is `limit` bytes behind. */
  lossless(limit: number): Stream.Stream<Uint8Array, OutputOverrun> {
    return this.#stream(
      limit,
      () => undefined,
      (queue) => {
        const error = new OutputOverrun({
          message: `a reader of the output of ${this.#device} is more than ${limit} bytes behind`,
          device: this.#device,
          limit,
        })
        Queue.failCauseUnsafe(queue, Cause.fail(error))
        return true
      },
    )
  }

  /**
   * A stream that loses the oldest bytes once its reader is `limit` bytes behind.
   * @param first what to begin with, asked for when the stream starts
   */
  sliding(limit: number, first: () => Uint8Array | undefined): Stream.Stream<Uint8Array> {
    return this.#stream(limit, first, () => false) as Stream.Stream<Uint8Array>
  }

  /** Ends every stream, those to come too after what they begin with, and forgets the listeners. */
  close(): void {
    this.#closed = true
    for (const end of this.#endings) end()
    this.#listeners.clear()
  }

  #stream(
    limit: number,
    first: () => Uint8Array | undefined,
    overrun: (queue: Queue.Queue<Uint8Array, OutputOverrun | Cause.Done>) => boolean,
  ): Stream.Stream<Uint8Array, OutputOverrun> {
    const start = Effect.gen({ self: this }, function* () {
      const queue = yield* Queue.unbounded<Uint8Array, OutputOverrun | Cause.Done>()
      let behind = 0
      // Before the listener is there: asking may emit what is in the answer, too.
      const beginning = first()
      const accept = (bytes: Uint8Array): void => {
        behind += bytes.length
        Queue.offerUnsafe(queue, bytes)
        while (behind > limit) {
          if (overrun(queue)) {
            remove()
            return
          }
          const oldest = Queue.takeUnsafe(queue)
          if (oldest === undefined || !Exit.isSuccess(oldest)) return
          behind -= oldest.value.length
        }
      }
      const remove = this.listen(accept)
      const end = () => {
        Queue.endUnsafe(queue)
      }
      this.#endings.add(end)
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          remove()
          this.#endings.delete(end)
        }),
      )
      if (beginning !== undefined && beginning.length > 0) accept(beginning)
      if (this.#closed) end()
      return Stream.fromQueue(queue).pipe(
        Stream.tap((bytes) =>
          Effect.sync(() => {
            behind -= bytes.length
          }),
        ),
      )
    })
    return Stream.unwrap(start)
  }
}
