/**
 * The register file of a 16550A UART, after National Semiconductor's data sheet PC16550D (section 8, registers), with a
 * transmitter and a line that take no time: THR is empty again as soon as it is written, and the character time-out
 * comes as soon as the FIFO holds less than its trigger level.
 *
 * The interrupt output of a PC is edge-triggered, so {@link UartWiring.interrupt} is called once for each condition
 * that becomes pending, even if another one still is. MCR's OUT2 does not gate it: that is wiring of the PC board, and
 * a guest that has not set it takes no interrupt anyhow.
 */
import { ByteQueue } from "../../byte-queue.ts"
import type { SerialV1 } from "./state.ts"

/** Interrupt enable register. */
const IER_ERBFI = 0x01
const IER_ETBEI = 0x02
const IER_ELSI = 0x04
const IER_EDSSI = 0x08
/** FIFO control register. */
const FCR_FIFO_ENABLE = 0x01
const FCR_RCVR_RESET = 0x02
/** Line control register. */
const LCR_DLAB = 0x80
/** Modem control register. */
const MCR_DTR = 0x01
const MCR_RTS = 0x02
const MCR_OUT1 = 0x04
const MCR_OUT2 = 0x08
const MCR_LOOP = 0x10
const MCR_BITS = 0x1f
/** Line status register. */
const LSR_DR = 0x01
const LSR_OE = 0x02
const LSR_THRE = 0x20
const LSR_TEMT = 0x40
/** Modem status register. */
const MSR_DCTS = 0x01
const MSR_DDSR = 0x02
const MSR_TERI = 0x04
const MSR_DDCD = 0x08
const MSR_CTS = 0x10
const MSR_DSR = 0x20
const MSR_RI = 0x40
const MSR_DCD = 0x80

/** Conditions that interrupt; the lower the bit the higher its priority in the IIR. */
const RECEIVER_LINE_STATUS = 1
const RECEIVED_DATA_AVAILABLE = 2
const CHARACTER_TIMEOUT = 4
const TRANSMITTER_EMPTY = 8
const MODEM_STATUS = 16

const FIFO_BYTES = 16
const TRIGGERS = [1, 4, 8, 14] as const

/** What the UART is wired to. */
export interface UartWiring {
  /** A condition became pending: one edge. */
  interrupt(): void
  /** A byte left the transmitter. */
  transmit(byte: number): void
  /** The guest made room: {@link Uart.receive} may be called, as often as {@link Uart.room} allows. */
  refill(): void
  /** A byte was lost in the receive FIFO. */
  overrun(): void
}

export class Uart {
  readonly #wiring: UartWiring
  readonly #fifo = new ByteQueue(FIFO_BYTES)
  #interruptEnable = 0
  #lineControl = 0
  #modemControl = 0
  #scratch = 0
  /** 9600 baud. */
  #divisorLatch = 12
  #fifoEnabled = false
  #receiverTrigger: (typeof TRIGGERS)[number] = 1
  #overrunError = false
  #modemDelta = 0
  #transmitterEmptyPending = false
  /** The conditions that have had their edge. */
  #raised = 0

  constructor(wiring: UartWiring) {
    this.#wiring = wiring
  }

  /** Bytes that may be received without an overrun. None in loopback: there SIN is cut off. */
  get room(): number {
    if ((this.#modemControl & MCR_LOOP) !== 0) return 0
    return (this.#fifoEnabled ? FIFO_BYTES : 1) - this.#fifo.length
  }

  /** Whether an interrupt is pending. */
  get pending(): boolean {
    return this.#conditions() !== 0
  }

  /** A byte came in. */
  receive(byte: number): void {
    this.#accept(byte)
    this.#update()
  }

  /** Any register but wider ones of other chips: offsets 0 to 7. */
  read(offset: number): number {
    const latch = (this.#lineControl & LCR_DLAB) !== 0
    switch (offset & 7) {
      case 0:
        return latch ? this.#divisorLatch & 0xff : this.#readReceiverBuffer()
      case 1:
        return latch ? this.#divisorLatch >> 8 : this.#interruptEnable
      case 2:
        return this.#readInterruptIdentification()
      case 3:
        return this.#lineControl
      case 4:
        return this.#modemControl
      case 5:
        return this.#readLineStatus()
      case 6:
        return this.#readModemStatus()
      default:
        return this.#scratch
    }
  }

  write(offset: number, value: number): void {
    const latch = (this.#lineControl & LCR_DLAB) !== 0
    switch (offset & 7) {
      case 0:
        if (latch) this.#divisorLatch = (this.#divisorLatch & 0xff00) | value
        else this.#writeTransmitterHolding(value)
        return
      case 1:
        if (latch) this.#divisorLatch = (this.#divisorLatch & 0xff) | (value << 8)
        else this.#writeInterruptEnable(value)
        return
      case 2:
        this.#writeFifoControl(value)
        return
      case 3:
        this.#lineControl = value
        return
      case 4:
        this.#writeModemControl(value)
        return
      // LSR and MSR are for reading; the data sheet has their writing for factory tests.
      case 5:
      case 6:
        return
      default:
        this.#scratch = value
    }
  }

  reset(): void {
    this.#fifo.clear()
    this.#interruptEnable = this.#lineControl = this.#modemControl = this.#scratch = 0
    this.#divisorLatch = 12
    this.#fifoEnabled = this.#overrunError = this.#transmitterEmptyPending = false
    this.#receiverTrigger = 1
    this.#modemDelta = 0
    this.#raised = 0
  }

  /** Everything but the host's queue. */
  save(): Omit<SerialV1, "input"> {
    return {
      interruptEnable: this.#interruptEnable,
      lineControl: this.#lineControl,
      modemControl: this.#modemControl,
      scratch: this.#scratch,
      divisorLatch: this.#divisorLatch,
      fifoEnabled: this.#fifoEnabled,
      receiverTrigger: this.#receiverTrigger,
      overrunError: this.#overrunError,
      modemDelta: this.#modemDelta,
      transmitterEmptyPending: this.#transmitterEmptyPending,
      receiveFifo: this.#fifo.toBytes(),
    }
  }

  /** Takes over a state, or says why not. */
  restore(state: Omit<SerialV1, "input">): string | undefined {
    if (state.interruptEnable > 0x0f) return "interrupt enable register has unknown bits"
    if (state.modemControl > MCR_BITS) return "modem control register has unknown bits"
    if (state.modemDelta > 0x0f) return "modem status has unknown bits"
    if (!state.fifoEnabled && state.receiveFifo.length > 1) return "more than a byte is received while the FIFO is off"
    this.#interruptEnable = state.interruptEnable
    this.#lineControl = state.lineControl
    this.#modemControl = state.modemControl
    this.#scratch = state.scratch
    this.#divisorLatch = state.divisorLatch
    this.#fifoEnabled = state.fifoEnabled
    this.#receiverTrigger = state.receiverTrigger
    this.#overrunError = state.overrunError
    this.#modemDelta = state.modemDelta
    this.#transmitterEmptyPending = state.transmitterEmptyPending
    this.#fifo.clear()
    this.#fifo.write(state.receiveFifo)
    this.#raised = this.#conditions()
    return undefined
  }

  #conditions(): number {
    const enabled = this.#interruptEnable
    const received = this.#fifo.length
    let conditions = 0
    if ((enabled & IER_ELSI) !== 0 && this.#overrunError) conditions |= RECEIVER_LINE_STATUS
    if ((enabled & IER_ERBFI) !== 0 && received > 0) {
      const below = this.#fifoEnabled && received < this.#receiverTrigger
      conditions |= below ? CHARACTER_TIMEOUT : RECEIVED_DATA_AVAILABLE
    }
    if ((enabled & IER_ETBEI) !== 0 && this.#transmitterEmptyPending) conditions |= TRANSMITTER_EMPTY
    if ((enabled & IER_EDSSI) !== 0 && this.#modemDelta !== 0) conditions |= MODEM_STATUS
    return conditions
  }

  /** An edge for what is pending now and was not before. */
  #update(): void {
    const now = this.#conditions()
    const fresh = now & ~this.#raised
    this.#raised = now
    if (fresh !== 0) this.#wiring.interrupt()
  }

  #accept(byte: number): void {
    if (this.#fifo.length >= (this.#fifoEnabled ? FIFO_BYTES : 1)) {
      this.#overrunError = true
      this.#wiring.overrun()
      // With the FIFO on, what is in it stays and the new byte is lost; without, the new one takes its place.
      if (this.#fifoEnabled) return
      this.#fifo.clear()
    }
    one[0] = byte
    this.#fifo.write(one)
  }

  #readReceiverBuffer(): number {
    const byte = this.#fifo.shift()
    if (byte < 0) return 0
    this.#update()
    this.#wiring.refill()
    return byte
  }

  /** Section 8.6. Reading it takes back the THRE interrupt, if that is what it tells. */
  #readInterruptIdentification(): number {
    const fifos = this.#fifoEnabled ? 0xc0 : 0
    const conditions = this.#conditions()
    if ((conditions & RECEIVER_LINE_STATUS) !== 0) return fifos | 0x06
    if ((conditions & RECEIVED_DATA_AVAILABLE) !== 0) return fifos | 0x04
    if ((conditions & CHARACTER_TIMEOUT) !== 0) return fifos | 0x0c
    if ((conditions & TRANSMITTER_EMPTY) !== 0) {
      this.#transmitterEmptyPending = false
      this.#update()
      return fifos | 0x02
    }
    return (conditions & MODEM_STATUS) !== 0 ? fifos : fifos | 0x01
  }

  #readLineStatus(): number {
    const status = LSR_THRE | LSR_TEMT | (this.#fifo.length > 0 ? LSR_DR : 0) | (this.#overrunError ? LSR_OE : 0)
    this.#overrunError = false
    this.#update()
    return status
  }

  #readModemStatus(): number {
    const status = modemLines(this.#modemControl) | this.#modemDelta
    this.#modemDelta = 0
    this.#update()
    return status
  }

  #writeTransmitterHolding(byte: number): void {
    // Full for an instant, which takes the interrupt back; then empty again, which is news.
    this.#transmitterEmptyPending = false
    this.#update()
    if ((this.#modemControl & MCR_LOOP) !== 0) this.#accept(byte)
    else this.#wiring.transmit(byte)
    this.#transmitterEmptyPending = true
    this.#update()
  }

  #writeInterruptEnable(value: number): void {
    const enabled = value & 0x0f & ~this.#interruptEnable
    this.#interruptEnable = value & 0x0f
    // THR is always empty: turning its interrupt on makes it pending, also a second time.
    if ((enabled & IER_ETBEI) !== 0) this.#transmitterEmptyPending = true
    this.#update()
  }

  #writeFifoControl(value: number): void {
    const enable = (value & FCR_FIFO_ENABLE) !== 0
    // Section 8.5: changing the mode empties the FIFOs, and the other bits count only together with bit 0.
    const cleared = enable !== this.#fifoEnabled || (enable && (value & FCR_RCVR_RESET) !== 0)
    this.#fifoEnabled = enable
    if (enable) this.#receiverTrigger = TRIGGERS[(value >> 6) as 0 | 1 | 2 | 3]
    if (cleared) this.#fifo.clear()
    this.#update()
    this.#wiring.refill()
  }

  #writeModemControl(value: number): void {
    const before = modemLines(this.#modemControl)
    this.#modemControl = value & MCR_BITS
    const changed = before ^ modemLines(this.#modemControl)
    if ((changed & MSR_CTS) !== 0) this.#modemDelta |= MSR_DCTS
    if ((changed & MSR_DSR) !== 0) this.#modemDelta |= MSR_DDSR
    if ((changed & before & MSR_RI) !== 0) this.#modemDelta |= MSR_TERI
    if ((changed & MSR_DCD) !== 0) this.#modemDelta |= MSR_DDCD
    this.#update()
    this.#wiring.refill()
  }
}

const one = new Uint8Array(1)

/** MSR bits 4 to 7: a modem that is always ready, or in loopback the four outputs, section 8.7 bit 4. */
const modemLines = (modemControl: number): number => {
  if ((modemControl & MCR_LOOP) === 0) return MSR_DCD | MSR_DSR | MSR_CTS
  return (
    ((modemControl & MCR_DTR) !== 0 ? MSR_DSR : 0) |
    ((modemControl & MCR_RTS) !== 0 ? MSR_CTS : 0) |
    ((modemControl & MCR_OUT1) !== 0 ? MSR_RI : 0) |
    ((modemControl & MCR_OUT2) !== 0 ? MSR_DCD : 0)
  )
}
