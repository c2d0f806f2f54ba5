/** Serial port: a 16550A UART, with what the host sends and sees of it. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Stream from "effect/Stream"
import { byteRegisters } from "../../bus.ts"
import { ByteQueue } from "../../byte-queue.ts"
import { type Device, type DeviceClosed, DeviceStateRefused, type InterruptLine } from "../../device.ts"
import { DeviceInput } from "../../input.ts"
import { DeviceOutput, type OutputListener } from "../../output.ts"
import { makeSerialMetrics, type SerialMetrics } from "./metrics.ts"
import { MAX_INPUT_BYTES, type SerialV1, serialComponent } from "./state.ts"
import { Uart } from "./uart.ts"

/** Ports that the registers take. */
export const SERIAL_PORTS = 8
/** Output kept for who comes late, and that a reader of the stream may be behind. */
export const SCROLLBACK_BYTES = 65536
/** Output is handed on in pieces of at most this, and at the latest in the next turn of the event loop. */
const CHUNK_BYTES = 4096
/** Input is accepted in pieces of at most this. */
const PIECE_BYTES = 4096

/** What a serial port is given. */
export interface SerialResources {
  readonly interrupt: InterruptLine
}

export interface SerialOptions {
  /** Default `serial0`. */
  readonly id?: string
}

/** The serial port. */
export interface SerialDevice extends Device<SerialV1> {
  readonly metrics: Readonly<SerialMetrics>
  /** Types `bytes` into the guest, waiting for room as needed. Calls at the same time do not mix. */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, DeviceClosed>
  /** Accepts what there is room for at once. Returns how many bytes. */
  readonly offer: (bytes: Uint8Array) => number
  /** Calls back with everything that the guest sends. Returns a function that ends it. */
  readonly onOutput: (listener: OutputListener) => () => void
  /** The scrollback, then what follows. A reader that is 64 KiB behind loses the oldest. */
  readonly output: Stream.Stream<Uint8Array>
  /** The guest will never send again: ends every reader of the output, after what there still is. */
  readonly endOutput: () => void
  /** A copy of the last 64 KiB of output. */
  readonly scrollback: () => Uint8Array
}

class SerialModel {
  readonly metrics: SerialMetrics = makeSerialMetrics()
  readonly input: DeviceInput
  readonly output: DeviceOutput
  readonly uart: Uart
  readonly #scrollback = new ByteQueue(SCROLLBACK_BYTES)
  readonly #interrupt: InterruptLine
  readonly #chunk = new Uint8Array(CHUNK_BYTES)
  #chunkLength = 0
  #flush: NodeJS.Immediate | undefined
  #quiesced = false

  constructor(id: string, interrupt: InterruptLine) {
    this.#interrupt = interrupt
    this.input = new DeviceInput(id, MAX_INPUT_BYTES, () => this.#refill())
    this.output = new DeviceOutput(id)
    this.uart = new Uart({
      interrupt: () => this.#raise(),
      transmit: (byte) => this.#transmit(byte),
      refill: () => this.#refill(),
      overrun: () => {
        this.metrics.overruns++
      },
    })
  }

  quiesce(): void {
    this.flush()
    this.#quiesced = true
  }

  kick(): void {
    this.#quiesced = false
    this.#refill()
    if (this.uart.pending) this.#raise()
  }

  reset(): void {
    this.uart.reset()
    this.input.clear()
  }

  restore(id: string, state: SerialV1): Effect.Effect<void, DeviceStateRefused> {
    return Effect.suspend(() => {
      const { input, ...registers } = state
      const refused = this.uart.restore(registers)
      if (refused !== undefined) {
        return Effect.fail(new DeviceStateRefused({ message: `${id}: ${refused}`, device: id }))
      }
      this.#quiesced = true
      this.input.load(input)
      return Effect.void
    })
  }

  scrollback(): Uint8Array {
    this.flush()
    return this.#scrollback.toBytes()
  }

  /** Hands collected output on. */
  flush(): void {
    if (this.#flush !== undefined) clearImmediate(this.#flush)
    this.#flush = undefined
    if (this.#chunkLength === 0) return
    const bytes = this.#chunk.slice(0, this.#chunkLength)
    this.#chunkLength = 0
    this.#scrollback.drop(bytes.length - this.#scrollback.room)
    this.#scrollback.write(bytes)
    this.output.emit(bytes)
  }

  endOutput(): void {
    this.flush()
    this.output.close()
  }

  close(): void {
    this.#quiesced = true
    this.input.close()
    this.endOutput()
  }

  #raise(): void {
    // While quiesced nothing is lost: kick looks at what is pending.
    if (this.#quiesced) return
    this.metrics.interrupts++
    this.#interrupt.raise()
  }

  #transmit(byte: number): void {
    this.metrics.transmittedBytes++
    this.#chunk[this.#chunkLength++] = byte
    if (this.#chunkLength === CHUNK_BYTES) this.flush()
    else this.#flush ??= setImmediate(() => this.flush())
  }

  #refill(): void {
    if (this.#quiesced) return
    while (this.uart.room > 0) {
      const byte = this.input.shift()
      if (byte < 0) return
      this.metrics.receivedBytes++
      this.uart.receive(byte)
    }
  }
}

/** Makes a serial port. */
export const makeSerial = (
  resources: SerialResources,
  options: SerialOptions = {},
): Effect.Effect<SerialDevice, never, Scope.Scope> =>
  Effect.gen(function* () {
    const id = options.id ?? "serial0"
    const model = yield* Effect.acquireRelease(
      Effect.sync(() => new SerialModel(id, resources.interrupt)),
      (made) => Effect.sync(() => made.close()),
    )
    const { uart, input, output } = model
    const oneWriter = Semaphore.makeUnsafe(1)
    return {
      id,
      kind: serialComponent.kind,
      component: serialComponent,
      metrics: model.metrics,
      endOutput: () => model.endOutput(),
      registers: byteRegisters(
        (offset) => uart.read(offset),
        (offset, value) => uart.write(offset, value),
      ),
      quiesce: Effect.sync(() => model.quiesce()),
      kick: () => model.kick(),
      reset: () => model.reset(),
      save: () => ({ ...uart.save(), input: input.toBytes() }),
      restore: (state) => model.restore(id, state),
      write: (bytes) => Semaphore.withPermit(oneWriter, writePieces(input, bytes)),
      offer: (bytes) => input.offer(bytes),
      onOutput: (listener) => output.listen(listener),
      output: output.sliding(SCROLLBACK_BYTES, () => model.scrollback()),
      scrollback: () => model.scrollback(),
    }
  })

const writePieces = (input: DeviceInput, bytes: Uint8Array): Effect.Effect<void, DeviceClosed> =>
  Effect.gen(function* () {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      yield* input.put(bytes.subarray(at, at + PIECE_BYTES)).pipe(Effect.catchTag("InputTooLarge", Effect.die))
    }
  })
