/**
 * Address to device: one {@link AddressSpace} for ports, one for memory-mapped registers.
 *
 * An access that no device claims reads as all ones and writes nowhere, as on a PC; both are counted.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { AccessLength, Registers } from "./device.ts"

/** Addresses `[base, base + size)`. */
export interface AddressRange {
  readonly base: number
  readonly size: number
}

/** A range to register is empty, no integer, or overlaps one that a device already has. */
export class AddressRangeRefused extends Data.TaggedError("AddressRangeRefused")<{
  readonly message: string
  readonly space: string
  readonly range: AddressRange
  /** The range in the way, if one is. */
  readonly overlaps?: AddressRange
}> {
  readonly code = "CRYOVM_ADDRESS_RANGE_REFUSED"
}

/** What happened at an address space. The counters are all there is: a guest cannot make them grow in size. */
export interface AddressSpaceMetrics {
  unclaimedReads: number
  unclaimedWrites: number
  /** Lengths other than 1, 2, 4 and 8: an access that straddles a page, which no register does. */
  oddLengths: number
  /** Address of the last access that nobody claimed; -1 before the first. */
  lastUnclaimed: number
}

interface Claim extends AddressRange {
  readonly end: number
  readonly registers: Registers
}

/** One space of addresses: ports (`pio`) or memory-mapped registers (`mmio`). */
export class AddressSpace {
  readonly name: string
  readonly metrics: AddressSpaceMetrics = {
    unclaimedReads: 0,
    unclaimedWrites: 0,
    oddLengths: 0,
    lastUnclaimed: -1,
  }
  /** In order of their addresses. */
  #claims: readonly Claim[] = []
  /** The claim of the last access: a guest mostly talks to one device at a time. */
  #last: Claim | undefined

  constructor(name: string) {
    this.name = name
  }

  /** The ranges taken, in order. */
  get ranges(): readonly AddressRange[] {
    return this.#claims.map(({ base, size }) => ({ base, size }))
  }

  /** Gives `range` to a device. Succeeds with a function that takes it back. */
  register(range: AddressRange, registers: Registers): Effect.Effect<() => void, AddressRangeRefused> {
    return Effect.suspend(() => {
      const { base, size } = range
      const end = base + size
      const refuse = (reason: string, overlaps?: AddressRange) =>
        Effect.fail(
          new AddressRangeRefused({
            message: `${this.name} range ${describe(range)} ${reason}`,
            space: this.name,
            range,
            ...(overlaps && { overlaps }),
          }),
        )
      if (!Number.isSafeInteger(base) || !Number.isSafeInteger(end) || base < 0 || size <= 0) {
        return refuse("is not a range of addresses")
      }
      const overlaps = this.#claims.find((claim) => base < claim.end && claim.base < end)
      if (overlaps !== undefined) return refuse(`overlaps ${describe(overlaps)}`, overlaps)
      const claim: Claim = { base, size, end, registers }
      this.#claims = [...this.#claims, claim].sort((a, b) => a.base - b.base)
      return Effect.succeed(() => {
        this.#claims = this.#claims.filter((other) => other !== claim)
        if (this.#last === claim) this.#last = undefined
      })
    })
  }

  /**
   * Serves one access. A written value is taken from `view` at `offset`; a read one is stored there, little endian,
   * exactly `length` bytes. Throws only what a device throws, which is a defect of ours and fails the machine.
   * @returns false where no device claimed the access
   */
  dispatch(address: number, length: number, isWrite: boolean, view: DataView, offset: number): boolean {
    if (length === 8) {
      const low = this.dispatch(address, 4, isWrite, view, offset)
      const high = this.dispatch(address + 4, 4, isWrite, view, offset + 4)
      return low && high
    }
    if (length !== 1 && length !== 2 && length !== 4) {
      this.metrics.oddLengths++
      return this.#unclaimed(address, length, isWrite, view, offset)
    }
    const claim = this.#find(address, length)
    if (claim === undefined) return this.#unclaimed(address, length, isWrite, view, offset)
    const register = address - claim.base
    if (isWrite) claim.registers.write(register, length, load(view, offset, length))
    else store(view, offset, length, claim.registers.read(register, length))
    return true
  }

  #find(address: number, length: number): Claim | undefined {
    const last = this.#last
    if (last !== undefined && address >= last.base && address + length <= last.end) return last
    const claims = this.#claims
    let low = 0
    let high = claims.length - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const claim = claims[middle]!
      if (address < claim.base) high = middle - 1
      else if (address >= claim.end) low = middle + 1
      else {
        if (address + length > claim.end) return undefined
        this.#last = claim
        return claim
      }
    }
    return undefined
  }

  #unclaimed(address: number, length: number, isWrite: boolean, view: DataView, offset: number): false {
    this.metrics.lastUnclaimed = address
    if (isWrite) this.metrics.unclaimedWrites++
    else {
      this.metrics.unclaimedReads++
      fillOnes(view, offset, length)
    }
    return false
  }
}

/** The two address spaces of a machine. */
export interface Bus {
  readonly pio: AddressSpace
  readonly mmio: AddressSpace
}

export const makeBus = (): Bus => ({ pio: new AddressSpace("pio"), mmio: new AddressSpace("mmio") })

/**
 * Registers that are one byte each: a wider access is so many accesses of a byte at ascending offsets, as the bus of a
 * PC does it.
 */
export const byteRegisters = (
  read: (offset: number) => number,
  write: (offset: number, value: number) => void,
): Registers => ({
  read: (offset, length) => {
    if (length === 1) return read(offset)
    let value = 0
    for (let index = 0; index < length; index++) value += read(offset + index) * 2 ** (8 * index)
    return value
  },
  write: (offset, length, value) => {
    for (let index = 0; index < length; index++) write(offset + index, (value >>> (8 * index)) & 0xff)
  },
})

const describe = ({ base, size }: AddressRange): string => `0x${base.toString(16)}+0x${size.toString(16)}`

const load = (view: DataView, offset: number, length: AccessLength): number => {
  if (length === 4) return view.getUint32(offset, true)
  return length === 1 ? view.getUint8(offset) : view.getUint16(offset, true)
}

const store = (view: DataView, offset: number, length: AccessLength, value: number): void => {
  if (length === 4) view.setUint32(offset, value, true)
  else if (length === 1) view.setUint8(offset, value)
  else view.setUint16(offset, value, true)
}

const fillOnes = (view: DataView, offset: number, length: number): void => {
  const end = Math.min(offset + length, view.byteLength)
  for (let at = offset; at < end; at++) view.setUint8(at, 0xff)
}
