/**
 * The device side of a split virtqueue, virtio 1.2 section 2.7.
 *
 * The ring is the guest's and may be anything. A chain is read once, checked whole, and then described by plain
 * fields of the queue ({@link Virtqueue.segments}, ...) that hold until the next {@link Virtqueue.pop}; nothing is
 * allocated for a descriptor. What cannot be made sense of sets {@link Virtqueue.fault} and stops the queue.
 */
import type { GuestMemory } from "../../memory/guest-memory.ts"
import {
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "./constants.ts"
import { isQueueSize, type RingAddresses, type RingWindows, resolveRing, usedRingBytes } from "./ring.ts"

const TWO_32 = 2 ** 32
const nothing = new Uint16Array(0)
const nothing32 = new Uint32Array(0)

export class Virtqueue {
  readonly maxSize: number
  /** QueueNum: 0 until the driver sets it. */
  size = 0
  ready = false
  /** Low and high halves of the three addresses: descriptor table, driver area, device area. */
  readonly addressWords: Uint32Array = new Uint32Array(6)
  /** Free-running 16-bit indices: the next entry to take, the next to give back, and the last the driver was told of. */
  nextAvail = 0
  nextUsed = 0
  signalledUsed = 0
  /** Why the queue stopped, if it did. */
  fault: string | undefined

  /** Number of segments of the chain popped last. Those that the device reads come first; none is empty. */
  segments = 0
  /** How many of them the device reads; the others it writes. */
  readableSegments = 0
  readableBytes = 0
  writableBytes = 0
  /** Guest-physical address and length of each segment. Each lies in one region of guest memory. */
  readonly segmentAddress: Float64Array
  readonly segmentLength: Uint32Array

  readonly #memory: GuestMemory
  #descriptors: Uint32Array = nothing32
  #available: Uint16Array = nothing
  #used: Uint16Array = nothing
  #usedElements: Uint32Array = nothing32
  #eventIdx = false
  #indirect = false
  #touched = false
  /** The region that the last segment was in. */
  #low = 0
  #high = 0

  constructor(memory: GuestMemory, maxSize: number) {
    this.#memory = memory
    this.maxSize = maxSize
    this.segmentAddress = new Float64Array(maxSize)
    this.segmentLength = new Uint32Array(maxSize)
  }

  get addresses(): RingAddresses {
    const words = this.addressWords
    return {
      descriptorTable: words[1]! * TWO_32 + words[0]!,
      driverArea: words[3]! * TWO_32 + words[2]!,
      deviceArea: words[5]! * TWO_32 + words[4]!,
    }
  }

  /** Makes the queue ready with the negotiated `features`. Returns why not, or nothing. */
  start(features: bigint): string | undefined {
    if (!isQueueSize(this.size, this.maxSize))
      return `queue size ${this.size} is not a power of two up to ${this.maxSize}`
    const windows: RingWindows | string = resolveRing(this.#memory, this.size, this.addresses)
    if (typeof windows === "string") return windows
    this.#descriptors = windows.descriptors
    this.#available = windows.available
    this.#used = windows.used
    this.#usedElements = windows.usedElements
    this.#eventIdx = (features & VIRTIO_F_EVENT_IDX) !== 0n
    this.#indirect = (features & VIRTIO_F_INDIRECT_DESC) !== 0n
    this.ready = true
    return undefined
  }

  /** No longer ready; size and addresses stay. */
  stop(): void {
    this.ready = false
    this.nextAvail = this.nextUsed = this.signalledUsed = 0
    this.fault = undefined
    this.segments = this.readableSegments = this.readableBytes = this.writableBytes = 0
    this.#descriptors = this.#usedElements = nothing32
    this.#available = this.#used = nothing
    this.#touched = false
  }

  /** Back to what it was after power on. */
  reset(): void {
    this.stop()
    this.size = 0
    this.addressWords.fill(0)
  }

  /**
   * Takes the next chain and describes it in the fields of the queue.
   * @returns the head to give back with {@link push}, or -1 where there is none (or the queue has a {@link fault}).
   *   With VIRTIO_F_EVENT_IDX, -1 also asks the driver to notify of the next one.
   */
  pop(): number {
    if (!this.ready || this.fault !== undefined) return -1
    const available = this.#available
    let pending = (Atomics.load(available, 1) - this.nextAvail) & 0xffff
    if (pending === 0) {
      if (!this.#eventIdx) return -1
      Atomics.store(this.#used, 2 + 4 * this.size, this.nextAvail)
      this.#touched = true
      // The driver may have added one before it could see the new avail_event.
      pending = (Atomics.load(available, 1) - this.nextAvail) & 0xffff
      if (pending === 0) return -1
    }
    if (pending > this.size) {
      this.#refuse("available index moved further than the queue is long")
      return -1
    }
    const head = available[2 + (this.nextAvail & (this.size - 1))]!
    if (!this.#walk(head)) return -1
    this.nextAvail = (this.nextAvail + 1) & 0xffff
    return head
  }

  /** Puts the chain popped last back, for want of something to do with it. Only before any {@link push} of it. */
  undoPop(): void {
    this.nextAvail = (this.nextAvail - 1) & 0xffff
  }

  /** Gives a chain back, `written` bytes of it filled by the device. */
  push(head: number, written: number): void {
    if (!this.ready) return
    const slot = 2 * (this.nextUsed & (this.size - 1))
    const elements = this.#usedElements
    elements[slot + 1] = head
    elements[slot + 2] = written
    this.nextUsed = (this.nextUsed + 1) & 0xffff
    Atomics.store(this.#used, 1, this.nextUsed)
    this.#touched = true
  }

  /**
   * Whether the driver wants an interrupt for what was pushed since the last call, virtio 1.2 section 2.7.7. Asks
   * once: a second call says no until something more is pushed.
   */
  shouldInterrupt(): boolean {
    const previous = this.signalledUsed
    const next = this.nextUsed
    if (!this.ready || next === previous) return false
    this.signalledUsed = next
    if (!this.#eventIdx) return (Atomics.load(this.#available, 0) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0
    const usedEvent = Atomics.load(this.#available, 2 + this.size)
    return ((next - usedEvent - 1) & 0xffff) < ((next - previous) & 0xffff)
  }

  /** Whether the used ring was written since the last call. */
  takeTouched(): boolean {
    const touched = this.#touched
    this.#touched = false
    return touched
  }

  /** Bytes of the used ring. */
  get usedBytes(): number {
    return usedRingBytes(this.size)
  }

  #refuse(reason: string): false {
    this.fault = reason
    this.segments = this.readableSegments = this.readableBytes = this.writableBytes = 0
    return false
  }

  #walk(head: number): boolean {
    const size = this.size
    let table = this.#descriptors
    let entries = size
    let index = head
    let indirect = false
    let segments = 0
    let readable = 0
    let readableBytes = 0
    let writableBytes = 0
    for (let visited = 0; ; ) {
      if (index >= entries) return this.#refuse("descriptor is out of range")
      const at = 4 * index
      // Each word is read once: the guest may change it meanwhile.
      const length = table[at + 2]!
      const flagsAndNext = table[at + 3]!
      const address = table[at + 1]! * TWO_32 + table[at]!
      if ((flagsAndNext & VIRTQ_DESC_F_INDIRECT) !== 0) {
        if (!this.#indirect) return this.#refuse("indirect descriptor was not negotiated")
        if (indirect) return this.#refuse("indirect descriptor inside an indirect table")
        if ((flagsAndNext & VIRTQ_DESC_F_NEXT) !== 0) return this.#refuse("indirect descriptor with a next one")
        const inner = this.#indirectTable(address, length)
        if (inner === undefined) return false
        table = inner
        entries = inner.length >>> 2
        indirect = true
        index = 0
        continue
      }
      if (visited === size) return this.#refuse("chain is a loop, or longer than the queue")
      visited++
      if ((flagsAndNext & VIRTQ_DESC_F_WRITE) !== 0) writableBytes += length
      else if (writableBytes > 0) {
        return this.#refuse("readable descriptor after a writable one")
      } else readableBytes += length
      if (readableBytes + writableBytes > TWO_32) return this.#refuse("chain is longer than 2^32 bytes")
      if (length > 0) {
        if (!(address >= this.#low && address + length <= this.#high) && !this.#locate(address, length)) {
          return this.#refuse("buffer is not in guest memory")
        }
        this.segmentAddress[segments] = address
        this.segmentLength[segments] = length
        segments++
        if ((flagsAndNext & VIRTQ_DESC_F_WRITE) === 0) readable++
      }
      if ((flagsAndNext & VIRTQ_DESC_F_NEXT) === 0) break
      index = flagsAndNext >>> 16
    }
    this.segments = segments
    this.readableSegments = readable
    this.readableBytes = readableBytes
    this.writableBytes = writableBytes
    return true
  }

  /** Remembers the region that holds the range, for the next segment. */
  #locate(address: number, length: number): boolean {
    const regions = this.#memory.regions
    for (let index = 0; index < regions.length; index++) {
      const region = regions[index]!
      if (address >= region.guestAddress && address + length <= region.guestAddress + region.size) {
        this.#low = region.guestAddress
        this.#high = region.guestAddress + region.size
        return true
      }
    }
    return false
  }

  #indirectTable(address: number, length: number): Uint32Array | undefined {
    if (length === 0 || length % 16 !== 0) {
      this.#refuse("indirect table is not a whole number of descriptors")
      return undefined
    }
    const bytes = this.#memory.bytes(address, length)
    if (bytes === undefined) {
      this.#refuse("indirect table is not in guest memory")
      return undefined
    }
    if (bytes.byteOffset % 4 === 0) return new Uint32Array(bytes.buffer, bytes.byteOffset, length / 4)
    // The specification asks for no alignment here. Copying stays cheap, for a chain is no longer than the queue.
    if (length > 16 * this.size) {
      this.#refuse("indirect table is longer than the queue")
      return undefined
    }
    return new Uint32Array(bytes.slice().buffer)
  }
}
