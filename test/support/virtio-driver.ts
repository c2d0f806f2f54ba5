/**
 * The driver's side of a virtio-mmio device, in the order in which Linux goes (`drivers/virtio/virtio_mmio.c`), and
 * what a machine gives a device.
 */
import type { QueueNotifier, Registers, VirtioResources } from "../../src/devices/device.ts"
import {
  ACKNOWLEDGE,
  DRIVER,
  DRIVER_OK,
  FEATURES_OK,
  Register,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "../../src/devices/virtio/constants.ts"
import type { RingMemory } from "./ring-memory.ts"

export interface FakeResources extends VirtioResources {
  readonly memory: RingMemory
  /** Pulses of the interrupt line. */
  pulses: number
  /** Ranges that the device says it wrote. */
  readonly ranges: { readonly address: number; readonly length: number }[]
  /** Queues with a subscription. */
  readonly subscribed: () => number[]
  /** The guest's notification, by ioeventfd. */
  readonly fire: (queue: number) => void
}

export const fakeResources = (memory: RingMemory): FakeResources => {
  const callbacks = new Map<number, () => void>()
  let word = 0
  const notifier: QueueNotifier = {
    subscribe: (queue, callback) => {
      callbacks.set(queue, callback)
      return () => {
        if (callbacks.get(queue) === callback) callbacks.delete(queue)
      }
    },
  }
  const ranges: { address: number; length: number }[] = []
  const resources: FakeResources = {
    memory,
    pulses: 0,
    ranges,
    interrupt: { gsi: 5, raise: () => void resources.pulses++ },
    status: {
      load: () => word,
      or: (bits) => {
        word |= bits
      },
      clear: (bits) => {
        word &= ~bits
      },
      store: (value) => {
        word = value
      },
    },
    notifier,
    written: (address, length) => void ranges.push({ address, length }),
    subscribed: () => [...callbacks.keys()].sort(),
    fire: (queue) => callbacks.get(queue)?.(),
  }
  return resources
}

export interface Buffer {
  readonly address: number
  readonly length: number
  readonly write?: boolean
}

/** A queue as the driver lays it out. */
export class DriverQueue {
  readonly memory: RingMemory
  readonly size: number
  readonly descriptors: number
  readonly available: number
  readonly used: number
  nextUsed = 0
  #nextDescriptor = 0

  constructor(memory: RingMemory, base: number, size: number) {
    this.memory = memory
    this.size = size
    this.descriptors = base
    this.available = base + 16 * size
    this.used = (this.available + 6 + 2 * size + 3) & ~3
  }

  get end(): number {
    return this.used + 6 + 8 * this.size
  }

  get availableIndex(): number {
    return this.memory.view.getUint16(this.available + 2, true)
  }

  set availableIndex(value: number) {
    this.memory.view.setUint16(this.available + 2, value & 0xffff, true)
  }

  setAvailableIndex(value: number): void {
    this.availableIndex = value
  }

  set availableFlags(value: number) {
    this.memory.view.setUint16(this.available, value, true)
  }

  set usedEvent(value: number) {
    this.memory.view.setUint16(this.available + 4 + 2 * this.size, value, true)
  }

  get availableEvent(): number {
    return this.memory.view.getUint16(this.used + 4 + 8 * this.size, true)
  }

  get usedIndex(): number {
    return this.memory.view.getUint16(this.used + 2, true)
  }

  descriptor(at: number, address: number, length: number, flags: number, next: number): void {
    const { view } = this.memory
    view.setBigUint64(at, BigInt(address), true)
    view.setUint32(at + 8, length, true)
    view.setUint16(at + 12, flags, true)
    view.setUint16(at + 14, next, true)
  }

  /** Puts a head into the available ring. */
  offer(head: number): void {
    const index = this.availableIndex
    this.memory.view.setUint16(this.available + 4 + 2 * (index % this.size), head, true)
    this.availableIndex = index + 1
  }

  /** A chain in the descriptor table. Descriptors are used in turn. Returns its head. */
  add(buffers: readonly Buffer[]): number {
    const head = this.#nextDescriptor % this.size
    buffers.forEach((buffer, position) => {
      const index = this.#nextDescriptor++ % this.size
      const flags = (buffer.write ? VIRTQ_DESC_F_WRITE : 0) | (position + 1 < buffers.length ? VIRTQ_DESC_F_NEXT : 0)
      this.descriptor(this.descriptors + 16 * index, buffer.address, buffer.length, flags, (index + 1) % this.size)
    })
    this.offer(head)
    return head
  }

  /** A chain in an indirect table at `table`. */
  addIndirect(table: number, buffers: readonly Buffer[]): number {
    buffers.forEach((buffer, index) => {
      const flags = (buffer.write ? VIRTQ_DESC_F_WRITE : 0) | (index + 1 < buffers.length ? VIRTQ_DESC_F_NEXT : 0)
      this.descriptor(table + 16 * index, buffer.address, buffer.length, flags, index + 1)
    })
    const head = this.#nextDescriptor++ % this.size
    this.descriptor(this.descriptors + 16 * head, table, 16 * buffers.length, VIRTQ_DESC_F_INDIRECT, 0)
    this.offer(head)
    return head
  }

  /** What the device gave back since the last call. */
  takeUsed(): { readonly id: number; readonly length: number }[] {
    const taken = []
    for (; this.nextUsed !== this.usedIndex; this.nextUsed = (this.nextUsed + 1) & 0xffff) {
      const at = this.used + 4 + 8 * (this.nextUsed % this.size)
      taken.push({ id: this.memory.view.getUint32(at, true), length: this.memory.view.getUint32(at + 4, true) })
    }
    return taken
  }
}

export const ALL_FEATURES = VIRTIO_F_VERSION_1 | VIRTIO_F_EVENT_IDX | VIRTIO_F_INDIRECT_DESC

export class VirtioDriver {
  readonly registers: Registers
  readonly memory: RingMemory
  readonly queues: DriverQueue[] = []

  constructor(registers: Registers, memory: RingMemory) {
    this.registers = registers
    this.memory = memory
  }

  read(offset: number): number {
    return this.registers.read(offset, 4)
  }

  write(offset: number, value: number): void {
    this.registers.write(offset, 4, value >>> 0)
  }

  get status(): number {
    return this.read(Register.Status)
  }

  addStatus(bits: number): void {
    this.write(Register.Status, this.status | bits)
  }

  /** `virtio_dev_probe` up to FEATURES_OK. */
  negotiate(wanted = ALL_FEATURES): void {
    this.write(Register.Status, 0)
    this.addStatus(ACKNOWLEDGE)
    this.addStatus(DRIVER)
    for (const word of [1, 0]) {
      this.write(Register.DriverFeaturesSel, word)
      this.write(Register.DriverFeatures, Number((wanted >> BigInt(32 * word)) & 0xffffffffn))
    }
    this.addStatus(FEATURES_OK)
  }

  /** `vm_setup_vq`. */
  setUpQueue(index: number, base: number, size: number): DriverQueue {
    const queue = new DriverQueue(this.memory, base, size)
    this.write(Register.QueueSel, index)
    this.write(Register.QueueNum, size)
    this.write(Register.QueueDescLow, queue.descriptors)
    this.write(Register.QueueDescHigh, 0)
    this.write(Register.QueueDriverLow, queue.available)
    this.write(Register.QueueDriverHigh, 0)
    this.write(Register.QueueDeviceLow, queue.used)
    this.write(Register.QueueDeviceHigh, 0)
    this.write(Register.QueueReady, 1)
    this.queues[index] = queue
    return queue
  }

  ready(): void {
    this.addStatus(DRIVER_OK)
  }

  notify(index: number): void {
    this.write(Register.QueueNotify, index)
  }

  /** `vm_interrupt`: reads and acknowledges. */
  takeInterrupt(): number {
    const bits = this.read(Register.InterruptStatus)
    this.write(Register.InterruptACK, bits)
    return bits
  }

  /** All of it: queues of `size` one after another from `base`. */
  start(queueCount: number, size: number, wanted = ALL_FEATURES, base = 0x1000): void {
    this.negotiate(wanted)
    let at = base
    for (let index = 0; index < queueCount; index++) {
      const queue = this.setUpQueue(index, at, size)
      at = (queue.end + 15) & ~15
    }
    this.ready()
  }
}

/** A turn of the event loop, in which continuations run. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
