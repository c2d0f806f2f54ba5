/** What is saved of the serial port. */
import * as Schema from "effect/Schema"
import { component } from "../../../state/component.ts"
import { BoundedBytes, U8, U16 } from "../../../state/primitives.ts"

/** Bytes from the host that wait for room in the receive FIFO. */
export const MAX_INPUT_BYTES = 65536

export const SerialV1 = Schema.Struct({
  interruptEnable: U8,
  lineControl: U8,
  modemControl: U8,
  scratch: U8,
  /** DLL and DLM. */
  divisorLatch: U16,
  fifoEnabled: Schema.Boolean,
  receiverTrigger: Schema.Literals([1, 4, 8, 14]),
  /** LSR bit 1. */
  overrunError: Schema.Boolean,
  /** MSR bits 0 to 3. */
  modemDelta: U8,
  /** A THRE interrupt that the guest has neither read from the IIR nor answered with a byte. */
  transmitterEmptyPending: Schema.Boolean,
  /** The receive FIFO, or the one byte of the RBR when it is off. */
  receiveFifo: BoundedBytes(16),
  /** Accepted from the host, not yet in the FIFO. */
  input: BoundedBytes(MAX_INPUT_BYTES),
})
export type SerialV1 = typeof SerialV1.Type

export const serialComponent = component<SerialV1>("serial", SerialV1)
