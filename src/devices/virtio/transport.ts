/**
 * What every virtio device does whatever its registers look like: status, features, queues, notifications,
 * interrupts, and the state of all that. `mmio.ts` puts the registers in front.
 */
import * as Effect from "effect/Effect"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { DeviceStateRefused, type VirtioResources } from "../device.ts"
import {
  FEATURES_OK,
  INTERRUPT_CONFIGURATION_CHANGE,
  INTERRUPT_USED_BUFFER,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "./constants.ts"
import type { ResetCause, VirtioHost, VirtioModel } from "./device.ts"
import { makeVirtioMetrics, type VirtioMetrics } from "./metrics.ts"
import { Virtqueue } from "./queue.ts"
import { restoreQueue, saveQueue, type VirtioState } from "./state.ts"
import { DeviceStatus, StatusEvent, statusBits, statusFromBits, step } from "./status.ts"

/** Descriptors' worth of work a queue may do in one turn of the event loop. */
export const QUEUE_BUDGET = 256

const TRANSPORT_FEATURES = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC

/** What a queue has going on besides its ring. */
interface Service {
  /** The rest of a turn whose budget ended. */
  continuation: NodeJS.Immediate | undefined
  /** `process` is on the stack; a poll meanwhile is remembered. */
  serving: boolean
  polledMeanwhile: boolean
  unsubscribe: (() => void) | undefined
}

export class VirtioTransport<S> implements VirtioHost {
  readonly id: string
  readonly features: bigint
  readonly metrics: VirtioMetrics = makeVirtioMetrics()
  readonly model: VirtioModel<S>
  /** For whoever wants to watch; {@link VirtioTransport.status} is what counts. */
  readonly statusRef: SubscriptionRef.SubscriptionRef<DeviceStatus>
  status: DeviceStatus = DeviceStatus.Reset()
  deviceFeaturesSelect = 0
  driverFeaturesSelect = 0
  driverFeatures = 0n
  queueSelect = 0
  sharedMemorySelect = 0
  configGeneration = 0
  queues: readonly Virtqueue[]

  readonly #resources: VirtioResources
  readonly #services: readonly Service[]
  #quiesced = false
  #closed = false

  constructor(
    id: string,
    resources: VirtioResources,
    statusRef: SubscriptionRef.SubscriptionRef<DeviceStatus>,
    makeModel: (host: VirtioHost) => VirtioModel<S>,
  ) {
    this.id = id
    this.#resources = resources
    this.statusRef = statusRef
    this.model = makeModel(this)
    this.features = this.model.features | TRANSPORT_FEATURES
    this.queues = this.#makeQueues()
    this.#services = this.queues.map(() => ({
      continuation: undefined,
      serving: false,
      polledMeanwhile: false,
      unsubscribe: undefined,
    }))
  }

  get memory() {
    return this.#resources.memory
  }

  get interruptStatus(): number {
    return this.#resources.status.load()
  }

  acknowledgeInterrupt(bits: number): void {
    // Only this thread sets bits, so a bit that a vCPU thread clears meanwhile comes back at worst: one interrupt more.
    this.#resources.status.clear(bits)
  }

  /** The driver wrote the status register, virtio 1.2 section 3.1.1. */
  writeStatus(value: number): void {
    if (value === 0) {
      this.metrics.resets++
      this.reset("driver")
      return
    }
    const before = this.status
    const featuresAcceptable = this.#acceptable(this.driverFeatures)
    const after = step(before, StatusEvent.Write({ value, featuresAcceptable }))
    if (after === before) {
      if ((value & FEATURES_OK) !== 0 && before._tag === "Driver" && !featuresAcceptable) this.metrics.featuresRefused++
      else if (value !== statusBits(before)) this.metrics.ignoredWrites++
      return
    }
    this.#become(after)
    if (after._tag === "DriverOk") {
      this.#activate()
      this.queues.forEach((_, index) => {
        this.poll(index)
      })
    } else this.#deactivate()
  }

  /** The driver made the selected queue ready. */
  startQueue(queue: Virtqueue): void {
    const refused = queue.start(this.driverFeatures)
    if (refused !== undefined) this.needsReset(refused)
  }

  /** The driver notified, through the notifier or by a plain register write. */
  notify(index: number): void {
    this.metrics.notifications++
    this.poll(index)
  }

  poll(index: number): void {
    const queue = this.queues[index]
    const service = this.#services[index]
    if (queue === undefined || service === undefined || !this.#live(queue)) return
    if (service.continuation !== undefined) return
    if (service.serving) service.polledMeanwhile = true
    else this.#turn(index, queue, service)
  }

  live(index: number): boolean {
    const queue = this.queues[index]
    return queue !== undefined && this.#live(queue)
  }

  flush(index: number): void {
    const queue = this.queues[index]
    if (queue === undefined) return
    this.#tellUsedRing(queue)
    const signalled = queue.signalledUsed
    if (queue.shouldInterrupt()) this.#interrupt(INTERRUPT_USED_BUFFER)
    else if (queue.signalledUsed !== signalled) this.metrics.interruptsSuppressed++
  }

  configChanged(): void {
    this.configGeneration = (this.configGeneration + 1) >>> 0
    if (this.status._tag === "DriverOk") this.#interrupt(INTERRUPT_CONFIGURATION_CHANGE)
  }

  needsReset(reason: string): void {
    if (this.#closed) return
    const before = this.status
    const after = step(before, StatusEvent.Malfunction())
    if (after === before) return
    this.metrics.faults++
    this.metrics.lastFault = reason
    this.#deactivate()
    this.#become(after)
    // Virtio 1.2 section 2.1.2: told of only if DRIVER_OK was set.
    if (before._tag === "DriverOk") this.#interrupt(INTERRUPT_CONFIGURATION_CHANGE)
  }

  written(address: number, length: number): void {
    this.#resources.written?.(address, length)
  }

  reset(cause: ResetCause): void {
    this.#deactivate()
    for (const queue of this.queues) {
      this.#tellUsedRing(queue)
      queue.reset()
    }
    this.deviceFeaturesSelect = this.driverFeaturesSelect = 0
    this.driverFeatures = 0n
    this.queueSelect = this.sharedMemorySelect = 0
    if (cause === "machine") this.configGeneration = 0
    this.#resources.status.store(0)
    this.model.reset(cause)
    if (this.status._tag !== "Reset") this.#become(DeviceStatus.Reset())
  }

  get quiesce(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#quiesced = true
      this.#cancelContinuations()
      return this.model.quiesce ?? Effect.void
    })
  }

  kick(): void {
    if (this.#closed) return
    this.#quiesced = false
    this.model.kick?.()
    if (this.#resources.status.load() !== 0) this.#resources.interrupt.raise()
    this.queues.forEach((_, index) => {
      this.poll(index)
    })
  }

  /** The machine is gone: nothing is touched any more. */
  close(): void {
    this.#closed = true
    this.#quiesced = true
    this.#deactivate()
  }

  save(): VirtioState<S> {
    return {
      transport: {
        status: statusBits(this.status),
        deviceFeaturesSelect: this.deviceFeaturesSelect,
        driverFeaturesSelect: this.driverFeaturesSelect,
        driverFeatures: this.driverFeatures,
        queueSelect: this.queueSelect,
        sharedMemorySelect: this.sharedMemorySelect,
        interruptStatus: this.#resources.status.load(),
        configGeneration: this.configGeneration,
      },
      queues: this.queues.map(saveQueue),
      device: this.model.save(),
    }
  }

  restore(state: VirtioState<S>): Effect.Effect<void, DeviceStateRefused> {
    return Effect.suspend(() => {
      const refuse = (message: string) =>
        Effect.fail(new DeviceStateRefused({ message: `${this.id}: ${message}`, device: this.id }))
      const { transport } = state
      const status = statusFromBits(transport.status)
      if (status === undefined) return refuse(`status 0x${transport.status.toString(16)} is none a device can have`)
      const negotiated = (transport.status & FEATURES_OK) !== 0
      if (negotiated && !this.#acceptable(transport.driverFeatures)) {
        return refuse(
          `negotiated features 0x${transport.driverFeatures.toString(16)} are not among those offered here, 0x${this.features.toString(16)}`,
        )
      }
      if ((transport.interruptStatus & ~(INTERRUPT_USED_BUFFER | INTERRUPT_CONFIGURATION_CHANGE)) !== 0) {
        return refuse("unknown interrupt status")
      }
      if (state.queues.length !== this.queues.length) {
        return refuse(`has ${this.queues.length} queues here, ${state.queues.length} there`)
      }
      const queues = this.#makeQueues()
      for (const [index, queue] of queues.entries()) {
        const saved = state.queues[index]!
        if (saved.ready && !negotiated) return refuse(`queue ${index} is ready before features were negotiated`)
        const refused = restoreQueue(queue, saved, transport.driverFeatures)
        if (refused !== undefined) return refuse(`queue ${index}: ${refused}`)
      }
      return Effect.map(this.model.restore(state.device), () => {
        this.#quiesced = true
        this.#deactivate()
        this.queues = queues
        this.deviceFeaturesSelect = transport.deviceFeaturesSelect
        this.driverFeaturesSelect = transport.driverFeaturesSelect
        this.driverFeatures = transport.driverFeatures
        this.queueSelect = transport.queueSelect
        this.sharedMemorySelect = transport.sharedMemorySelect
        this.configGeneration = transport.configGeneration
        this.#resources.status.store(transport.interruptStatus)
        this.#become(status)
        if (status._tag === "DriverOk") this.#activate()
      })
    })
  }

  #makeQueues(): Virtqueue[] {
    return this.model.queueMaxSizes.map((maxSize) => new Virtqueue(this.#resources.memory, maxSize))
  }

  #tellUsedRing(queue: Virtqueue): void {
    if (queue.takeTouched()) this.written(queue.addresses.deviceArea, queue.usedBytes)
  }

  #live(queue: Virtqueue): boolean {
    return !this.#quiesced && queue.ready && this.status._tag === "DriverOk"
  }

  #turn(index: number, queue: Virtqueue, service: Service): void {
    let more = false
    service.serving = true
    service.polledMeanwhile = false
    try {
      more = this.model.process(index, queue, QUEUE_BUDGET)
    } catch (cause) {
      this.needsReset(`queue ${index}: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
    service.serving = false
    // What the guest sent may have led somebody to reset the device, or to end the machine.
    if (this.#closed || this.queues[index] !== queue) return
    this.flush(index)
    if (queue.fault !== undefined) this.needsReset(queue.fault)
    if (!(more || service.polledMeanwhile) || !this.#live(queue)) return
    this.metrics.continuations++
    service.continuation = setImmediate(() => {
      service.continuation = undefined
      this.poll(index)
    })
  }

  #interrupt(bits: number): void {
    if (this.#closed) return
    this.#resources.status.or(bits)
    this.metrics.interrupts++
    // While quiesced the word alone is set: kick raises the line.
    if (!this.#quiesced) this.#resources.interrupt.raise()
  }

  /** Virtio 1.2 section 2.2: a device may refuse what it did not offer, and this one needs VERSION_1. */
  #acceptable(features: bigint): boolean {
    return (features & ~this.features) === 0n && (features & VIRTIO_F_VERSION_1) !== 0n
  }

  #become(status: DeviceStatus): void {
    this.status = status
    Effect.runSync(SubscriptionRef.set(this.statusRef, status))
  }

  #activate(): void {
    this.queues.forEach((queue, index) => {
      const service = this.#services[index]
      if (!queue.ready || service === undefined) return
      // Without a subscription the driver's write ends up in `notify`, and waits there.
      if (this.model.synchronousQueues?.includes(index)) return
      service.unsubscribe = this.#resources.notifier.subscribe(index, () => {
        this.notify(index)
      })
    })
    this.model.activate?.(this.queues, this.driverFeatures)
  }

  #deactivate(): void {
    this.#cancelContinuations()
    for (const service of this.#services) {
      service.unsubscribe?.()
      service.unsubscribe = undefined
    }
  }

  #cancelContinuations(): void {
    for (const service of this.#services) {
      if (service.continuation !== undefined) clearImmediate(service.continuation)
      service.continuation = undefined
    }
  }
}
