/**
 * Keyboard controller, as much of Intel's 8042 in a PC as is needed to reset the machine and not to make a driver that
 * looks for a keyboard wait: every command is answered at once, and neither keyboard nor mouse is there.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { byteRegisters } from "../../bus.ts"
import { type Device, DeviceStateRefused } from "../../device.ts"
import { type I8042Metrics, makeI8042Metrics } from "./metrics.ts"
import { type I8042V1, i8042Component } from "./state.ts"

/** Ports from the data port 0x60 to the status and command port 0x64. Port 0x61 between them is the timer's. */
export const I8042_PORTS = 5
const DATA = 0
const STATUS_COMMAND = 4

/** Status register. */
const STATUS_OUTPUT_BUFFER_FULL = 0x01
const STATUS_SYSTEM_FLAG = 0x04
const STATUS_COMMAND_WRITTEN = 0x08
/** Keyboard not locked. */
const STATUS_UNLOCKED = 0x10

/** Command byte after power on: system flag, keyboard and auxiliary device disabled. */
const COMMAND_BYTE = 0x34
const COMMAND_BYTE_DISABLE_KEYBOARD = 0x10
const COMMAND_BYTE_DISABLE_AUXILIARY = 0x20
/** Output port: reset not pulled, A20 open. */
const OUTPUT_PORT = 0x03
const OUTPUT_PORT_NO_RESET = 0x01

const READ_COMMAND_BYTE = 0x20
const WRITE_COMMAND_BYTE = 0x60
const DISABLE_AUXILIARY = 0xa7
const ENABLE_AUXILIARY = 0xa8
const TEST_AUXILIARY = 0xa9
const SELF_TEST = 0xaa
const TEST_KEYBOARD = 0xab
const DISABLE_KEYBOARD = 0xad
const ENABLE_KEYBOARD = 0xae
const READ_OUTPUT_PORT = 0xd0
const WRITE_OUTPUT_PORT = 0xd1
const WRITE_KEYBOARD_BUFFER = 0xd2
const WRITE_AUXILIARY_BUFFER = 0xd3
const WRITE_AUXILIARY = 0xd4
const PULSE_OUTPUT_PORT = 0xf0

const SELF_TEST_PASSED = 0x55
const INTERFACE_CLOCK_STUCK_LOW = 0x01

/** Commands with a data byte. */
const withData = [
  WRITE_COMMAND_BYTE,
  WRITE_OUTPUT_PORT,
  WRITE_KEYBOARD_BUFFER,
  WRITE_AUXILIARY_BUFFER,
  WRITE_AUXILIARY,
] as const

/** What the keyboard controller is given. */
export interface I8042Resources {
  /** The guest pulled the reset line. Called in the middle of the guest's access: it must not wait. */
  readonly onReset: () => void
}

export interface I8042Options {
  /** Default `i8042`. */
  readonly id?: string
}

/** The keyboard controller. */
export interface I8042Device extends Device<I8042V1> {
  readonly metrics: Readonly<I8042Metrics>
}

const powerOn: I8042V1 = {
  commandByte: COMMAND_BYTE,
  outputPort: OUTPUT_PORT,
  systemFlag: false,
  lastWriteWasCommand: false,
  awaitingData: 0,
  outputBuffer: 0,
  outputBufferFull: false,
}

class I8042Model {
  readonly metrics: I8042Metrics = makeI8042Metrics()
  readonly #resources: I8042Resources
  state: { -readonly [Key in keyof I8042V1]: I8042V1[Key] } = { ...powerOn }

  constructor(resources: I8042Resources) {
    this.#resources = resources
  }

  read(offset: number): number {
    if (offset === STATUS_COMMAND) return this.#status()
    if (offset !== DATA) return 0xff
    this.state.outputBufferFull = false
    return this.state.outputBuffer
  }

  write(offset: number, value: number): void {
    if (offset === STATUS_COMMAND) this.#command(value)
    else if (offset === DATA) this.#data(value)
  }

  #status(): number {
    const { outputBufferFull, systemFlag, lastWriteWasCommand } = this.state
    return (
      STATUS_UNLOCKED |
      (outputBufferFull ? STATUS_OUTPUT_BUFFER_FULL : 0) |
      (systemFlag ? STATUS_SYSTEM_FLAG : 0) |
      (lastWriteWasCommand ? STATUS_COMMAND_WRITTEN : 0)
    )
  }

  #answer(value: number): void {
    this.state.outputBuffer = value
    this.state.outputBufferFull = true
  }

  #command(command: number): void {
    const { state } = this
    state.lastWriteWasCommand = true
    state.awaitingData = 0
    if ((command & PULSE_OUTPUT_PORT) === PULSE_OUTPUT_PORT) {
      // Each clear bit of the low four pulses a line; bit 0 is the processor's reset.
      if ((command & OUTPUT_PORT_NO_RESET) === 0) this.#reset()
      return
    }
    if (withData.some((known) => known === command)) {
      state.awaitingData = command
      return
    }
    switch (command) {
      case READ_COMMAND_BYTE:
        this.#answer(state.commandByte)
        return
      case SELF_TEST:
        state.systemFlag = true
        this.#answer(SELF_TEST_PASSED)
        return
      case TEST_KEYBOARD:
        this.#answer(0)
        return
      case TEST_AUXILIARY:
        this.#answer(INTERFACE_CLOCK_STUCK_LOW)
        return
      case DISABLE_KEYBOARD:
        state.commandByte |= COMMAND_BYTE_DISABLE_KEYBOARD
        return
      case ENABLE_KEYBOARD:
        state.commandByte &= ~COMMAND_BYTE_DISABLE_KEYBOARD
        return
      case DISABLE_AUXILIARY:
        state.commandByte |= COMMAND_BYTE_DISABLE_AUXILIARY
        return
      case ENABLE_AUXILIARY:
        state.commandByte &= ~COMMAND_BYTE_DISABLE_AUXILIARY
        return
      case READ_OUTPUT_PORT:
        this.#answer(state.outputPort)
        return
      default:
        this.metrics.unknownCommands++
    }
  }

  #data(value: number): void {
    const { state } = this
    const command = state.awaitingData
    state.lastWriteWasCommand = false
    state.awaitingData = 0
    switch (command) {
      case WRITE_COMMAND_BYTE:
        state.commandByte = value
        return
      case WRITE_OUTPUT_PORT:
        state.outputPort = value | OUTPUT_PORT_NO_RESET
        if ((value & OUTPUT_PORT_NO_RESET) === 0) this.#reset()
        return
      // Looped back as from the keyboard: without the auxiliary flag a driver knows that there is no mouse.
      case WRITE_KEYBOARD_BUFFER:
      case WRITE_AUXILIARY_BUFFER:
        this.#answer(value)
        return
      default:
        this.metrics.droppedBytes++
    }
  }

  #reset(): void {
    this.metrics.resets++
    this.#resources.onReset()
  }
}

/** Makes a keyboard controller. */
export const makeI8042 = (
  resources: I8042Resources,
  options: I8042Options = {},
): Effect.Effect<I8042Device, never, Scope.Scope> =>
  Effect.sync(() => {
    const id = options.id ?? "i8042"
    const model = new I8042Model(resources)
    return {
      id,
      kind: i8042Component.kind,
      component: i8042Component,
      metrics: model.metrics,
      registers: byteRegisters(
        (offset) => model.read(offset),
        (offset, value) => model.write(offset, value),
      ),
      quiesce: Effect.void,
      kick: () => {},
      reset: () => {
        model.state = { ...powerOn }
      },
      save: () => ({ ...model.state }),
      restore: (state) =>
        Effect.suspend(() => {
          if (state.awaitingData !== 0 && !withData.some((known) => known === state.awaitingData)) {
            const message = `${id}: command 0x${state.awaitingData.toString(16)} takes no data`
            return Effect.fail(new DeviceStateRefused({ message, device: id }))
          }
          model.state = { ...state }
          return Effect.void
        }),
    }
  })
