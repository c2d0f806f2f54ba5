/**
 * `struct kvm_run` of one vCPU (`linux/kvm.h`), as shared with the kernel: what an exit says, and the answer to it.
 */
import type { Bus } from "../devices/bus.ts"

/** Values of `exit_reason` that have a meaning here; the names are those of KVM_EXIT_*. */
export const ExitReason = {
  UNKNOWN: 0,
  EXCEPTION: 1,
  IO: 2,
  HYPERCALL: 3,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTERNAL_ERROR: 17,
  SYSTEM_EVENT: 24,
} as const

const names = new Map<number, string>(Object.entries(ExitReason).map(([name, value]) => [value, name]))

/** `KVM_EXIT_SHUTDOWN` for 8, and the number itself where it has no name here. */
export const exitReasonName = (reason: number): string => `KVM_EXIT_${names.get(reason) ?? reason}`

const EXIT_REASON = 8
const UNION = 32
const IO_DIRECTION_OUT = 1

/** Serves the accesses of one vCPU from the buses. */
export class RunPage {
  readonly #view: DataView
  readonly #bus: Bus

  constructor(run: ArrayBuffer, bus: Bus) {
    this.#view = new DataView(run)
    this.#bus = bus
  }

  get exitReason(): number {
    return this.#view.getUint32(EXIT_REASON, true)
  }

  /** Serves the access the page describes; a read's answer is stored in the page. */
  serve(): void {
    if (this.exitReason === ExitReason.MMIO) this.#serveMemory()
    else this.#servePort()
  }

  #serveMemory(): void {
    const view = this.#view
    const address = view.getUint32(UNION, true) + view.getUint32(UNION + 4, true) * 2 ** 32
    const length = view.getUint32(UNION + 16, true)
    const isWrite = view.getUint8(UNION + 20) !== 0
    this.#bus.mmio.dispatch(address, length, isWrite, view, UNION + 8)
  }

  /** A string instruction (`rep outsb`) arrives as one exit with `count` items behind each other. */
  #servePort(): void {
    const view = this.#view
    const isWrite = view.getUint8(UNION) === IO_DIRECTION_OUT
    const size = view.getUint8(UNION + 1)
    const port = view.getUint16(UNION + 2, true)
    const count = view.getUint32(UNION + 4, true)
    const data = Number(view.getBigUint64(UNION + 8, true))
    for (let item = 0; item < count; item++) this.#bus.pio.dispatch(port, size, isWrite, view, data + item * size)
  }

  /** Instruction bytes that KVM could not emulate (KVM_INTERNAL_ERROR_EMULATION), where it gives them. */
  get instructionBytes(): Uint8Array {
    if (this.exitReason !== ExitReason.INTERNAL_ERROR) return new Uint8Array(0)
    const count = this.#view.getUint32(UNION + 4, true)
    const hasBytes = count >= 3 && (this.#view.getBigUint64(UNION + 8, true) & 1n) === 1n
    if (!hasBytes) return new Uint8Array(0)
    const size = Math.min(this.#view.getUint8(UNION + 16), 15)
    return new Uint8Array(this.#view.buffer.slice(UNION + 17, UNION + 17 + size))
  }

  /** Suberror of KVM_EXIT_INTERNAL_ERROR, type of KVM_EXIT_SYSTEM_EVENT, low half of the hardware reason of KVM_EXIT_FAIL_ENTRY. */
  get detail(): number {
    return this.#view.getUint32(UNION, true)
  }
}
