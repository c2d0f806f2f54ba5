/**
 * What a device is, and what it is given. A device knows neither the machine nor the snapshot code.
 */
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type { GuestMemory } from "../memory/guest-memory.ts"
import type { Component } from "../state/component.ts"

/** Bytes of one register access. An 8-byte access reaches a device as two of 4, low half first. */
export type AccessLength = 1 | 2 | 4

/** Registers reached by port or memory-mapped access. `offset` is from the start of the device's range. */
export interface Registers {
  /** Value as an unsigned number of `length` bytes. Never throws. */
  read(offset: number, length: AccessLength): number
  /** `value` is an unsigned number of `length` bytes. Never throws. */
  write(offset: number, length: AccessLength, value: number): void
}

/** An edge-triggered interrupt line. */
export interface InterruptLine {
  readonly gsi: number
  /** One pulse. */
  raise(): void
}

/**
 * A word of interrupt status that the vCPU threads answer by themselves (virtio-mmio InterruptStatus/InterruptACK).
 */
export interface StatusWord {
  load(): number
  /** Sets bits; other bits stay. */
  or(bits: number): void
  /** Clears bits; other bits stay, also those that a vCPU thread changes at the same time. */
  clear(bits: number): void
  /** Overwrites the word, for reset and restore. */
  store(value: number): void
}

/** Asks for a callback when the guest writes `value` (queue index) to the notify register of the device. */
export interface QueueNotifier {
  /** Replaces what was subscribed before for this queue. Returns a function that ends the subscription. */
  subscribe(queue: number, callback: () => void): () => void
}

/** What a virtio-mmio device is given. */
export interface VirtioResources {
  readonly memory: GuestMemory
  readonly interrupt: InterruptLine
  readonly status: StatusWord
  readonly notifier: QueueNotifier
  /**
   * Told of every range of guest memory that the device wrote: KVM's dirty log sees only what the guest writes.
   * Left out where the host finds writes of this process by other means (`PAGEMAP_SCAN`).
   */
  readonly written?: (address: number, length: number) => void
}

/** Something with state, that is saved and restored while the machine is paused. */
export interface Stateful<T> {
  readonly component: Component<T>
  /** The state in its wire shape, a value that later changes of the device do not reach. The device was quiesced before. */
  save(): T
  /**
   * Takes over a state. Fails, leaving the device as it was, where the state contradicts itself. The device is
   * quiesced afterwards, until {@link Device.kick}.
   */
  restore(state: T): Effect.Effect<void, DeviceStateRefused>
}

/** A device of a machine. */
export interface Device<T = unknown> extends Stateful<T> {
  /** Unique in the machine: `serial0`, `rng0`, ... */
  readonly id: string
  /** Stable name of its kind, also the kind of its state. */
  readonly kind: string
  readonly registers: Registers
  /**
   * Called once every vCPU is parked and before anything is saved. From its end until {@link Device.kick} the device
   * neither touches guest memory nor raises an interrupt: notifications that still arrive, input from the host and
   * work left over for a later turn of the event loop wait. Without it, memory written to a snapshot after the
   * device's state could be newer than that state.
   */
  readonly quiesce: Effect.Effect<void>
  /**
   * Called whenever the machine resumes, after a pause or a restore, and before any vCPU runs: ends `quiesce`, looks
   * at every queue again (a notification may have been lost between the guest's write and the pause) and raises
   * again an interrupt that the guest has not yet seen. Harmless when nothing is pending.
   */
  kick(): void
  /** The reset pin of the machine: back to the state after power on. Input that waited for the guest is dropped. */
  reset(): void
}

/** A device of whatever state: what a machine has a list of. */
// biome-ignore lint/suspicious/noExplicitAny: a device both takes and gives its state, so `unknown` fits none.
export type AnyDevice = Device<any>

/** A saved device state contradicts itself, or the machine it is restored into. */
export class DeviceStateRefused extends Data.TaggedError("DeviceStateRefused")<{
  readonly message: string
  readonly device: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_DEVICE_STATE_REFUSED"
}

/** A device was used after its machine ended, or while it waited for room when that happened. */
export class DeviceClosed extends Data.TaggedError("DeviceClosed")<{
  readonly message: string
  readonly device: string
}> {
  readonly code = "CRYOVM_DEVICE_CLOSED"
}
