/** What a virtio device model gives its transport, and what it gets from it. */
import type * as Effect from "effect/Effect"
import type { GuestMemory } from "../../memory/guest-memory.ts"
import type { AccessLength, DeviceStateRefused } from "../device.ts"
import type { Virtqueue } from "./queue.ts"

/** Who resets: the driver, by writing 0 to the status, or the machine. */
export type ResetCause = "driver" | "machine"

/** The behaviour of one device type. None of its functions throws for what a guest did. */
export interface VirtioModel<S> {
  /** Virtio 1.2 section 5. */
  readonly deviceType: number
  /** Feature bits 0 to 23 of the device type. The transport adds its own. */
  readonly features: bigint
  /** Largest size of each queue, powers of two. */
  readonly queueMaxSizes: readonly number[]
  /**
   * Queues whose notification is served before the driver's write returns: the vCPU that notified waits for it. Costs
   * that vCPU an exit; for what a driver relies on being done by then.
   */
  readonly synchronousQueues?: readonly number[]
  /** Device-specific configuration. What lies beyond its end reads as 0. */
  readConfig(offset: number, length: AccessLength): number
  writeConfig(offset: number, length: AccessLength, value: number): void
  /**
   * Serves a queue, after a notification or when {@link VirtioHost.poll} asked for it, doing work worth at most about
   * `budget` descriptors. Afterwards the transport looks at the queue's fault and raises the interrupt.
   * @returns true where the budget ended before the work: it is called again in a later turn of the event loop
   */
  process(index: number, queue: Virtqueue, budget: number): boolean
  /** The driver set DRIVER_OK, or a state of that kind was restored. `features`: what was negotiated. */
  activate?(queues: readonly Virtqueue[], features: bigint): void
  /** Forgets what it knows of the queues. A machine's reset also drops input and configuration. */
  reset(cause: ResetCause): void
  /** Waits for what is under way; from then on nothing touches guest memory until `process` is called. */
  readonly quiesce?: Effect.Effect<void>
  /** The end of `quiesce`, before the queues are looked at. */
  kick?(): void
  /** The device's own part of the state. */
  save(): S
  restore(state: S): Effect.Effect<void, DeviceStateRefused>
}

/** What a model is given. */
export interface VirtioHost {
  readonly id: string
  readonly memory: GuestMemory
  /** Asks for `process` of a queue now, for work that came from the host. Nothing happens while the device is not live. */
  poll(index: number): void
  /** Whether the queue may be touched now: ready, the driver there, and nothing quiesced. */
  live(index: number): boolean
  /** After buffers were pushed outside `process`: raises the interrupt, if the driver wants it. */
  flush(index: number): void
  /** Device-specific configuration changed: new generation, configuration change interrupt. */
  configChanged(): void
  /** The device cannot go on: DEVICE_NEEDS_RESET. */
  needsReset(reason: string): void
  /** Guest memory was written at `address`. The used ring is seen to by the transport. */
  written(address: number, length: number): void
}
