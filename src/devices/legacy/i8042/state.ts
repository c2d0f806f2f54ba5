/** What is saved of the keyboard controller. */
import * as Schema from "effect/Schema"
import { component } from "../../../state/component.ts"
import { U8 } from "../../../state/primitives.ts"

export const I8042V1 = Schema.Struct({
  /** Controller command byte (Linux: CTR). */
  commandByte: U8,
  outputPort: U8,
  /** Status bits that stay: system flag, command/data. */
  systemFlag: Schema.Boolean,
  lastWriteWasCommand: Schema.Boolean,
  /** A command that waits for its data byte; 0 for none. */
  awaitingData: U8,
  outputBuffer: U8,
  outputBufferFull: Schema.Boolean,
})
export type I8042V1 = typeof I8042V1.Type

export const i8042Component = component<I8042V1>("i8042", I8042V1)
