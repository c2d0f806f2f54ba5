/** Bytes on their way from the host into a guest: bounded, with back-pressure, and part of the device's state. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { ByteQueue } from "./byte-queue.ts"
import { DeviceClosed } from "./device.ts"

/** A piece of input is larger than the device can ever hold. */
export class InputTooLarge extends Data.TaggedError("InputTooLarge")<{
  readonly message: string
  readonly device: string
  readonly length: number
  readonly limit: number
}> {
  readonly code = "CRYOVM_INPUT_TOO_LARGE"
}

interface Waiter {
  readonly bytes: Uint8Array
  readonly resume: (outcome: Effect.Effect<void, DeviceClosed>) => void
}

/** Takes pieces whole, in the order they came. */
export class DeviceInput {
  readonly #device: string
  readonly #queue: ByteQueue
  readonly #arrived: () => void
  #waiters: Waiter[] = []
  #closed = false

  /** @param arrived called after bytes were added from outside */
  constructor(device: string, capacity: number, arrived: () => void) {
    this.#device = device
    this.#queue = new ByteQueue(capacity)
    this.#arrived = arrived
  }

  get length(): number {
    return this.#queue.length
  }

  get capacity(): number {
    return this.#queue.capacity
  }

  /** Accepts what there is room for, without waiting; nothing while others wait. Returns how many bytes. */
  offer(bytes: Uint8Array): number {
    if (this.#closed || this.#waiters.length > 0) return 0
    const count = this.#queue.write(bytes)
    if (count > 0) this.#arrived()
    return count
  }

  /**
   * Waits until there is room for all of `bytes`, then accepts them at once. The bytes must not change meanwhile.
   * Interrupting it while it waits takes nothing.
   */
  put(bytes: Uint8Array): Effect.Effect<void, DeviceClosed | InputTooLarge> {
    return Effect.suspend((): Effect.Effect<void, DeviceClosed | InputTooLarge> => {
      const limit = this.#queue.capacity
      if (bytes.length > limit) {
        return Effect.fail(
          new InputTooLarge({
            message: `${this.#device} takes at most ${limit} bytes at once, not ${bytes.length}`,
            device: this.#device,
            length: bytes.length,
            limit,
          }),
        )
      }
      if (this.#closed) return Effect.fail(this.#closedError())
      if (this.#waiters.length === 0 && bytes.length <= this.#queue.room) {
        this.#queue.write(bytes)
        if (bytes.length > 0) this.#arrived()
        return Effect.void
      }
      return Effect.callback<void, DeviceClosed>((resume) => {
        const waiter: Waiter = { bytes, resume }
        this.#waiters.push(waiter)
        return Effect.sync(() => {
          this.#waiters = this.#waiters.filter((other) => other !== waiter)
          if (this.#admit()) this.#arrived()
        })
      })
    })
  }

  /** Takes bytes out for the guest. Whoever takes goes on until there is nothing more, or no more room in the guest. */
  read(into: Uint8Array): number {
    const count = this.#queue.read(into)
    this.#admit()
    return count
  }

  /** Takes one byte out for the guest; -1 where there is none. */
  shift(): number {
    const byte = this.#queue.shift()
    if (byte >= 0) this.#admit()
    return byte
  }

  /** What was accepted and not yet taken. */
  toBytes(): Uint8Array {
    return this.#queue.toBytes()
  }

  /** Replaces what was accepted; what waits for room goes on waiting. */
  load(bytes: Uint8Array): void {
    this.#queue.clear()
    this.#queue.write(bytes)
    this.#admit()
  }

  /** Drops what was accepted. */
  clear(): void {
    this.load(new Uint8Array(0))
  }

  /** Fails everything that waits. */
  close(): void {
    this.#closed = true
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.resume(Effect.fail(this.#closedError()))
  }

  #admit(): boolean {
    let admitted = false
    for (
      let next = this.#waiters[0];
      next !== undefined && next.bytes.length <= this.#queue.room;
      next = this.#waiters[0]
    ) {
      this.#waiters.shift()
      this.#queue.write(next.bytes)
      next.resume(Effect.void)
      admitted = true
    }
    return admitted
  }

  #closedError(): DeviceClosed {
    return new DeviceClosed({ message: `${this.#device} has ended with its machine`, device: this.#device })
  }
}
