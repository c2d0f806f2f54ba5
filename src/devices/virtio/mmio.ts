/** The virtio-mmio transport, version 2: virtio 1.2 section 4.2. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Component } from "../../state/component.ts"
import type { AccessLength, Device, Registers, VirtioResources } from "../device.ts"
import { MMIO_MAGIC, MMIO_VENDOR, MMIO_VERSION, Register } from "./constants.ts"
import type { VirtioHost, VirtioModel } from "./device.ts"
import type { VirtioMetrics } from "./metrics.ts"
import type { VirtioState } from "./state.ts"
import { DeviceStatus, statusBits } from "./status.ts"
import { VirtioTransport } from "./transport.ts"

/** A virtio device behind memory-mapped registers. */
export interface VirtioDevice<S> extends Device<VirtioState<S>> {
  readonly component: Component<VirtioState<S>>
  /** Virtio 1.2 section 5. */
  readonly deviceType: number
  readonly queueCount: number
  /** The device's status; `SubscriptionRef.changes` of it is a stream of every transition. */
  readonly status: SubscriptionRef.SubscriptionRef<DeviceStatus>
  readonly transportMetrics: Readonly<VirtioMetrics>
}

/** A device, and its model for those who know its type. */
export interface VirtioMmio<S, M extends VirtioModel<S>> {
  readonly device: VirtioDevice<S>
  readonly model: M
}

/**
 * Puts a model behind virtio-mmio registers. The end of the scope ends every subscription and every piece of work of
 * the device; guest memory is not touched after it.
 */
export const makeVirtioMmio = <S, M extends VirtioModel<S>>(
  id: string,
  component: Component<VirtioState<S>>,
  resources: VirtioResources,
  makeModel: (host: VirtioHost) => M,
): Effect.Effect<VirtioMmio<S, M>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const status = yield* SubscriptionRef.make<DeviceStatus>(DeviceStatus.Reset())
    const transport = yield* Effect.acquireRelease(
      Effect.sync(() => new VirtioTransport<S>(id, resources, status, makeModel)),
      (made) => Effect.sync(() => made.close()),
    )
    const device: VirtioDevice<S> = {
      id,
      kind: component.kind,
      component,
      deviceType: transport.model.deviceType,
      queueCount: transport.queues.length,
      status,
      transportMetrics: transport.metrics,
      registers: new MmioRegisters(transport),
      quiesce: transport.quiesce,
      kick: () => transport.kick(),
      reset: () => transport.reset("machine"),
      save: () => transport.save(),
      restore: (state) => transport.restore(state),
    }
    return { device, model: transport.model as M }
  })

const LOW = 0xffffffffn

/** The register file. Anything at the wrong time or place is ignored and counted. */
class MmioRegisters<S> implements Registers {
  readonly #transport: VirtioTransport<S>

  constructor(transport: VirtioTransport<S>) {
    this.#transport = transport
  }

  read(offset: number, length: AccessLength): number {
    const transport = this.#transport
    if (offset >= Register.Config) return transport.model.readConfig(offset - Register.Config, length)
    if (length !== 4 || offset % 4 !== 0) {
      transport.metrics.badAccesses++
      return 0
    }
    switch (offset) {
      case Register.MagicValue:
        return MMIO_MAGIC
      case Register.Version:
        return MMIO_VERSION
      case Register.DeviceID:
        return transport.model.deviceType
      case Register.VendorID:
        return MMIO_VENDOR
      case Register.DeviceFeatures:
        if (transport.deviceFeaturesSelect > 1) return 0
        return Number((transport.features >> BigInt(32 * transport.deviceFeaturesSelect)) & LOW)
      case Register.QueueNumMax:
        return transport.queues[transport.queueSelect]?.maxSize ?? 0
      case Register.QueueReady:
        return transport.queues[transport.queueSelect]?.ready ? 1 : 0
      case Register.InterruptStatus:
        return transport.interruptStatus
      case Register.Status:
        return statusBits(transport.status)
      // Section 4.2.2: a region that does not exist has the length and the base of all ones.
      case Register.SHMLenLow:
      case Register.SHMLenHigh:
      case Register.SHMBaseLow:
      case Register.SHMBaseHigh:
        return 0xffffffff
      case Register.ConfigGeneration:
        return transport.configGeneration
      default:
        return 0
    }
  }

  write(offset: number, length: AccessLength, value: number): void {
    const transport = this.#transport
    if (offset >= Register.Config) {
      this.#writeConfig(offset - Register.Config, length, value)
      return
    }
    if (length !== 4 || offset % 4 !== 0) {
      transport.metrics.badAccesses++
      return
    }
    switch (offset) {
      case Register.DeviceFeaturesSel:
        transport.deviceFeaturesSelect = value
        return
      case Register.DriverFeatures:
        this.#writeFeatures(value)
        return
      case Register.DriverFeaturesSel:
        transport.driverFeaturesSelect = value
        return
      case Register.QueueSel:
        transport.queueSelect = value
        return
      case Register.QueueNotify:
        transport.notify(value)
        return
      case Register.InterruptACK:
        transport.acknowledgeInterrupt(value)
        return
      case Register.Status:
        transport.writeStatus(value & 0xff)
        return
      case Register.SHMSel:
        transport.sharedMemorySelect = value
        return
      default:
        this.#writeQueue(offset, value)
    }
  }

  #writeFeatures(value: number): void {
    const transport = this.#transport
    const select = transport.driverFeaturesSelect
    if (transport.status._tag !== "Driver" || select > 1) {
      // Drivers that know of more words than this write zeros there.
      if (transport.status._tag !== "Driver" || value !== 0) transport.metrics.ignoredWrites++
      return
    }
    const shift = BigInt(32 * select)
    transport.driverFeatures = (transport.driverFeatures & ~(LOW << shift)) | (BigInt(value) << shift)
  }

  /** Section 4.2.3.2: a queue is set up after FEATURES_OK, before DRIVER_OK, and not while it is ready. */
  #writeQueue(offset: number, value: number): void {
    const transport = this.#transport
    const queue = transport.queues[transport.queueSelect]
    const open = queue !== undefined && transport.status._tag === "FeaturesOk"
    if (offset === Register.QueueReady && value === (queue?.ready ? 1 : 0)) return
    if (!open) {
      transport.metrics.ignoredWrites++
      return
    }
    if (offset === Register.QueueReady && value <= 1) {
      if (value === 1) transport.startQueue(queue)
      else queue.stop()
      return
    }
    const word = addressWord(offset)
    if (queue.ready || (word < 0 && offset !== Register.QueueNum)) {
      transport.metrics.ignoredWrites++
      return
    }
    if (word >= 0) queue.addressWords[word] = value
    else queue.size = value
  }

  #writeConfig(offset: number, length: AccessLength, value: number): void {
    const { status, model, metrics } = this.#transport
    if (status._tag === "FeaturesOk" || status._tag === "DriverOk") model.writeConfig(offset, length, value)
    else metrics.ignoredWrites++
  }
}

/** Index into {@link Virtqueue.addressWords} of an address register, or -1. */
const addressWord = (offset: number): number => {
  switch (offset) {
    case Register.QueueDescLow:
      return 0
    case Register.QueueDescHigh:
      return 1
    case Register.QueueDriverLow:
      return 2
    case Register.QueueDriverHigh:
      return 3
    case Register.QueueDeviceLow:
      return 4
    case Register.QueueDeviceHigh:
      return 5
    default:
      return -1
  }
}
