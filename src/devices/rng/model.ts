/**
 * Entropy device, virtio 1.2 section 5.4: fills what the guest offers with random bytes of the host.
 *
 * Two machines restored from one snapshot have the same entropy pool, but never get the same bytes from here.
 */
import { randomFillSync } from "node:crypto"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { VirtioResources } from "../device.ts"
import { DEVICE_TYPE_ENTROPY } from "../virtio/constants.ts"
import type { VirtioHost, VirtioModel } from "../virtio/device.ts"
import { makeVirtioMmio, type VirtioDevice } from "../virtio/mmio.ts"
import type { Virtqueue } from "../virtio/queue.ts"
import { makeRngMetrics, type RngMetrics } from "./metrics.ts"
import { type RngV1, rngComponent } from "./state.ts"

/** Most bytes given for one request. A driver asks again for the rest. */
export const MAX_REQUEST_BYTES = 65536
/** Bytes after which a turn of the event loop ends. */
const BYTES_A_TURN = 4 * MAX_REQUEST_BYTES

const QUEUE_SIZE = 256

/** The entropy device. */
export interface RngDevice extends VirtioDevice<RngV1> {
  readonly metrics: Readonly<RngMetrics>
}

export interface RngOptions {
  /** Default `rng0`. */
  readonly id?: string
  /** Where the bytes come from; the system's generator unless a test wants to know them. */
  readonly fill?: (into: Uint8Array) => void
}

class RngModel implements VirtioModel<RngV1> {
  readonly deviceType = DEVICE_TYPE_ENTROPY
  readonly features = 0n
  readonly queueMaxSizes = [QUEUE_SIZE]
  readonly metrics: RngMetrics = makeRngMetrics()
  readonly #host: VirtioHost
  readonly #fill: (into: Uint8Array) => void

  constructor(host: VirtioHost, fill: (into: Uint8Array) => void) {
    this.#host = host
    this.#fill = fill
  }

  process(_index: number, queue: Virtqueue, budget: number): boolean {
    let left = BYTES_A_TURN
    for (let chain = 0; chain < budget && left > 0; chain++) {
      const head = queue.pop()
      if (head < 0) return false
      const given = this.#serve(queue)
      queue.push(head, given)
      left -= given
    }
    return true
  }

  #serve(queue: Virtqueue): number {
    let given = 0
    for (let index = queue.readableSegments; index < queue.segments && given < MAX_REQUEST_BYTES; index++) {
      const address = queue.segmentAddress[index]!
      const length = Math.min(queue.segmentLength[index]!, MAX_REQUEST_BYTES - given)
      const into = this.#host.memory.bytes(address, length)
      if (into === undefined) break
      this.#fill(into)
      this.#host.written(address, length)
      given += length
    }
    this.metrics.requests++
    this.metrics.bytes += given
    if (given < queue.writableBytes) this.metrics.shortened++
    return given
  }

  readConfig(): number {
    return 0
  }

  writeConfig(): void {}

  reset(): void {}

  save(): RngV1 {
    return {}
  }

  restore(): Effect.Effect<void> {
    return Effect.void
  }
}

/** Makes an entropy device. */
export const makeRng = (
  resources: VirtioResources,
  options: RngOptions = {},
): Effect.Effect<RngDevice, never, Scope.Scope> =>
  Effect.map(
    makeVirtioMmio(
      options.id ?? "rng0",
      rngComponent,
      resources,
      (host) => new RngModel(host, options.fill ?? ((into) => void randomFillSync(into))),
    ),
    ({ device, model }) => ({ ...device, metrics: model.metrics }),
  )
