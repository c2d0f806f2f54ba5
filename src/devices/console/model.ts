/**
 * Console device, virtio 1.2 section 5.3, with one port and neither VIRTIO_CONSOLE_F_SIZE nor F_MULTIPORT: a plain
 * channel of bytes both ways. The guest agent listens at its end of it.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { DeviceClosed, VirtioResources } from "../device.ts"
import { DeviceInput, type InputTooLarge } from "../input.ts"
import { DeviceOutput, type OutputListener, type OutputOverrun } from "../output.ts"
import { DEVICE_TYPE_CONSOLE } from "../virtio/constants.ts"
import type { ResetCause, VirtioHost, VirtioModel } from "../virtio/device.ts"
import { makeVirtioMmio, type VirtioDevice } from "../virtio/mmio.ts"
import type { Virtqueue } from "../virtio/queue.ts"
import { type ConsoleMetrics, makeConsoleMetrics } from "./metrics.ts"
import { type ConsoleV1, consoleComponent, MAX_INPUT_BYTES } from "./state.ts"

const RECEIVEQ = 0
const TRANSMITQ = 1
/**
 * Linux fills the receive queue with pages when it finds the device: 256 of them would be a mebibyte of the guest's
 * memory, and more time than all the rest of the probe.
 */
const RECEIVEQ_SIZE = 16
const TRANSMITQ_SIZE = 64

/** Longest buffer that a guest may send at once; Linux sends a page, or what fits into a pipe. */
export const MAX_TRANSMIT_BYTES = 1024 * 1024
/** Bytes that a reader of the output stream may be behind. */
const OUTPUT_LIMIT = 4 * 1024 * 1024
/** Bytes that cost as much as a descriptor, for the budget. */
const BYTES_A_DESCRIPTOR = 4096

/** The console device. */
export interface ConsoleDevice extends VirtioDevice<ConsoleV1> {
  readonly metrics: Readonly<ConsoleMetrics>
  /**
   * Sends bytes to the guest: waits until there is room for all of them and accepts them whole. Accepted bytes are
   * part of the device's state until the guest has taken them.
   */
  readonly send: (bytes: Uint8Array) => Effect.Effect<void, DeviceClosed | InputTooLarge>
  /** Bytes accepted and not yet taken by the guest. */
  readonly pendingInput: () => number
  /** Calls back with everything that the guest sends. Returns a function that ends it. */
  readonly onData: (listener: OutputListener) => () => void
  /** The same as a stream, from when it is run. Fails rather than lose a byte, when its reader is 4 MiB behind. */
  readonly output: Stream.Stream<Uint8Array, OutputOverrun>
}

export interface ConsoleOptions {
  /** Default `console0`. */
  readonly id?: string
}

class ConsoleModel implements VirtioModel<ConsoleV1> {
  readonly deviceType = DEVICE_TYPE_CONSOLE
  readonly features = 0n
  readonly queueMaxSizes = [RECEIVEQ_SIZE, TRANSMITQ_SIZE]
  readonly metrics: ConsoleMetrics = makeConsoleMetrics()
  readonly input: DeviceInput
  readonly output: DeviceOutput
  readonly #host: VirtioHost

  constructor(host: VirtioHost) {
    this.#host = host
    this.input = new DeviceInput(host.id, MAX_INPUT_BYTES, () => host.poll(RECEIVEQ))
    this.output = new DeviceOutput(host.id)
  }

  process(index: number, queue: Virtqueue, budget: number): boolean {
    return index === TRANSMITQ ? this.#transmit(queue, budget) : this.#receive(queue, budget)
  }

  /** Fills the guest's buffers with input. */
  #receive(queue: Virtqueue, budget: number): boolean {
    for (let left = budget; left > 0; ) {
      if (this.input.length === 0) return false
      const head = queue.pop()
      if (head < 0) return false
      let given = 0
      for (let index = queue.readableSegments; index < queue.segments && this.input.length > 0; index++) {
        const address = queue.segmentAddress[index]!
        const length = Math.min(queue.segmentLength[index]!, this.input.length)
        const into = this.#host.memory.bytes(address, length)
        if (into === undefined) break
        this.input.read(into)
        this.#host.written(address, length)
        given += length
      }
      queue.push(head, given)
      this.metrics.receivedBuffers++
      this.metrics.receivedBytes += given
      left -= 1 + Math.floor(given / BYTES_A_DESCRIPTOR)
    }
    return true
  }

  /** Takes what the guest sends. Linux spins until its buffer comes back, so it does before anyone looks at the bytes. */
  #transmit(queue: Virtqueue, budget: number): boolean {
    for (let left = budget; left > 0; ) {
      const head = queue.pop()
      if (head < 0) return false
      if (queue.readableBytes > MAX_TRANSMIT_BYTES) {
        queue.fault = "console buffer is too long"
        return false
      }
      const bytes = new Uint8Array(queue.readableBytes)
      let taken = 0
      for (let index = 0; index < queue.readableSegments; index++) {
        const from = this.#host.memory.bytes(queue.segmentAddress[index]!, queue.segmentLength[index]!)
        if (from === undefined) break
        bytes.set(from, taken)
        taken += from.length
      }
      queue.push(head, 0)
      this.metrics.transmittedBuffers++
      this.metrics.transmittedBytes += taken
      if (taken > 0) this.output.emit(bytes)
      left -= 1 + Math.floor(taken / BYTES_A_DESCRIPTOR)
    }
    return true
  }

  readConfig(): number {
    return 0
  }

  writeConfig(): void {}

  /** A driver that resets the device at its start still wants what was sent to it before. */
  reset(cause: ResetCause): void {
    if (cause === "machine") this.input.clear()
  }

  save(): ConsoleV1 {
    return { input: this.input.toBytes() }
  }

  restore(state: ConsoleV1): Effect.Effect<void> {
    return Effect.sync(() => this.input.load(state.input))
  }

  close(): void {
    this.input.close()
    this.output.close()
  }
}

/** Makes a console device. */
export const makeConsole = (
  resources: VirtioResources,
  options: ConsoleOptions = {},
): Effect.Effect<ConsoleDevice, never, Scope.Scope> =>
  Effect.gen(function* () {
    const id = options.id ?? "console0"
    const { device, model } = yield* makeVirtioMmio(id, consoleComponent, resources, (host) => new ConsoleModel(host))
    yield* Effect.addFinalizer(() => Effect.sync(() => model.close()))
    return {
      ...device,
      metrics: model.metrics,
      send: (bytes) => model.input.put(bytes),
      pendingInput: () => model.input.length,
      onData: (listener) => model.output.listen(listener),
      output: model.output.lossless(OUTPUT_LIMIT),
    }
  })
