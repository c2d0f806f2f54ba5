/** What is saved of the transport and the queues of a virtio device. */
import * as Schema from "effect/Schema"
import { type Component, component, type StateSchema } from "../../state/component.ts"
import { SafeUnsigned, U8, U16, U32, U64 } from "../../state/primitives.ts"
import type { Virtqueue } from "./queue.ts"

/** One queue. The addresses are what the driver wrote, sense or not. */
export const QueueV1 = Schema.Struct({
  maxSize: U16,
  size: U32,
  ready: Schema.Boolean,
  descriptorTable: U64,
  driverArea: U64,
  deviceArea: U64,
  nextAvail: U16,
  nextUsed: U16,
  signalledUsed: U16,
})
export type QueueV1 = typeof QueueV1.Type

/** The registers of the transport. */
export const TransportV1 = Schema.Struct({
  status: U8,
  deviceFeaturesSelect: U32,
  driverFeaturesSelect: U32,
  driverFeatures: U64,
  queueSelect: U32,
  sharedMemorySelect: U32,
  interruptStatus: U32,
  configGeneration: SafeUnsigned,
})
export type TransportV1 = typeof TransportV1.Type

/** A whole virtio device; `device` is the part of its model. */
export interface VirtioState<S> {
  readonly transport: TransportV1
  readonly queues: readonly QueueV1[]
  readonly device: S
}

/** Most queues that any device here has. */
const MAX_QUEUES = 64

/** Schema of a whole device whose own part is `device`. */
export const virtioSchemaV1 = <S>(device: StateSchema<S>): StateSchema<VirtioState<S>> =>
  Schema.Struct({
    transport: TransportV1,
    queues: Schema.Array(QueueV1).check(Schema.isMaxLength(MAX_QUEUES)),
    device,
  }) as unknown as StateSchema<VirtioState<S>>

/** The component of a device whose own part, in version 1, is `device`. */
export const virtioComponent = <S>(kind: string, device: StateSchema<S>): Component<VirtioState<S>> =>
  component(kind, virtioSchemaV1(device))

const joined = (words: Uint32Array, at: number): bigint => (BigInt(words[at + 1] ?? 0) << 32n) | BigInt(words[at] ?? 0)

export const saveQueue = (queue: Virtqueue): QueueV1 => ({
  maxSize: queue.maxSize,
  size: queue.size,
  ready: queue.ready,
  descriptorTable: joined(queue.addressWords, 0),
  driverArea: joined(queue.addressWords, 2),
  deviceArea: joined(queue.addressWords, 4),
  nextAvail: queue.nextAvail,
  nextUsed: queue.nextUsed,
  signalledUsed: queue.signalledUsed,
})

/** Puts a saved queue into a fresh one. Returns why that cannot be, or nothing. */
export const restoreQueue = (queue: Virtqueue, state: QueueV1, features: bigint): string | undefined => {
  if (state.maxSize !== queue.maxSize) return `has at most ${queue.maxSize} entries here, ${state.maxSize} there`
  const addresses = [state.descriptorTable, state.driverArea, state.deviceArea]
  addresses.forEach((address, part) => {
    queue.addressWords[2 * part] = Number(address & 0xffffffffn)
    queue.addressWords[2 * part + 1] = Number(address >> 32n)
  })
  queue.size = state.size
  if (state.ready) {
    const refused = queue.start(features)
    if (refused !== undefined) return refused
  }
  if (!state.ready && (state.nextAvail | state.nextUsed | state.signalledUsed) !== 0) return "is not ready, yet in use"
  if (((state.nextAvail - state.nextUsed) & 0xffff) > state.size) return "gave back more than it took"
  queue.nextAvail = state.nextAvail
  queue.nextUsed = state.nextUsed
  queue.signalledUsed = state.signalledUsed
  return undefined
}
