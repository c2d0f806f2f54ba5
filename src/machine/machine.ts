/**
 * A machine put together: memory in its slots, buses, devices, vCPU threads. What runs on it, and when, is decided
 * elsewhere; a machine comes out of {@link makeMachine} with its vCPUs parked and as KVM makes them.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { PAGES_A_MIB } from "../devices/balloon/constants.ts"
import { intervalMs } from "../devices/balloon/interval.ts"
import { type BalloonDevice, makeBalloon } from "../devices/balloon/model.ts"
import { balloonComponent } from "../devices/balloon/state.ts"
import { type AddressRange, type AddressSpace, makeBus } from "../devices/bus.ts"
import { type ConsoleDevice, makeConsole } from "../devices/console/model.ts"
import { consoleComponent } from "../devices/console/state.ts"
import type { Device, InterruptLine, Registers, StatusWord, VirtioResources } from "../devices/device.ts"
import { I8042_PORTS, makeI8042 } from "../devices/legacy/i8042/model.ts"
import { i8042Component } from "../devices/legacy/i8042/state.ts"
import { makeSerial, SERIAL_PORTS, type SerialDevice } from "../devices/legacy/serial/model.ts"
import { serialComponent } from "../devices/legacy/serial/state.ts"
import { makeRng } from "../devices/rng/model.ts"
import { rngComponent } from "../devices/rng/state.ts"
import { Register } from "../devices/virtio/constants.ts"
import { type DirtyLog, makeDirtyLog } from "../memory/dirty-log.ts"
import { type Discard, makeDiscard } from "../memory/discard.ts"
import { type GuestMemory, type GuestRegion, type MappedGuestMemory, makeGuestMemory } from "../memory/guest-memory.ts"
import { makeWrittenPages, type WrittenPages } from "../memory/written-pages.ts"
import {
  type KvmError,
  type NativeAddon,
  type NativeMemory,
  type NativeVcpuStop,
  type NativeVm,
  toKvmError,
} from "../native.ts"
import type { BalloonSetup, DeviceSet } from "./config.ts"
import * as Layout from "./layout.ts"
import type { RunPage } from "./run-page.ts"
import { makeVcpuThreads } from "./vcpu-threads.ts"

/** A device of whatever state. */
// biome-ignore lint/suspicious/noExplicitAny: a device both takes and gives its state, so `unknown` fits none.
export type AnyDevice = Device<any>

export interface MachineOptions {
  readonly vcpus: number
  readonly devices: DeviceSet
  /** Guest memory, one mapping a region, in the order of {@link Layout.memoryRegions}. */
  readonly memories: readonly NativeMemory[]
  /** Keep a log of what is written to memory; it begins when it is first looked at. */
  readonly trackDirtyPages: boolean
  /** A vCPU parked because it cannot go on. */
  readonly onVcpuFailure: (stop: NativeVcpuStop) => void
  /** The guest asked for a reset through the keyboard controller. */
  readonly onReset: () => void
}

export interface Machine {
  readonly vm: NativeVm
  readonly vcpus: number
  readonly memory: MappedGuestMemory
  readonly dirtyLog: DirtyLog | undefined
  /** The pages that were ever discarded. */
  readonly discarded: WrittenPages
  readonly runPages: readonly RunPage[]
  readonly serial: SerialDevice
  /** Channel of the guest agent. */
  readonly agentConsole: ConsoleDevice | undefined
  readonly balloon: BalloonDevice | undefined
  /** Every device, in the order they are saved and restored. */
  readonly devices: readonly AnyDevice[]
  /** Where the guest finds its virtio-mmio devices. */
  readonly virtioMmio: readonly Layout.VirtioSlot[]
  /** Parks every vCPU. */
  readonly pause: Effect.Effect<void>
  /** Looks at every queue again, then lets the vCPUs run. */
  readonly resume: Effect.Effect<void, KvmError>
}

/** The devices of a machine, by id and kind, in the order of {@link Machine.devices}. */
export const deviceIds = (devices: DeviceSet): readonly { readonly id: string; readonly kind: string }[] => [
  { id: "serial0", kind: serialComponent.kind },
  { id: "i8042", kind: i8042Component.kind },
  ...(devices.agent ? [{ id: "console0", kind: consoleComponent.kind }] : []),
  ...(devices.rng ? [{ id: "rng0", kind: rngComponent.kind }] : []),
  ...(devices.balloon ? [{ id: "balloon0", kind: balloonComponent.kind }] : []),
]

const interruptLine = (vm: NativeVm, gsi: number): InterruptLine => {
  const id = vm.addInterrupt(gsi)
  return { gsi, raise: () => vm.raiseInterrupt(id) }
}

const statusWord = (cells: Int32Array, cell: number): StatusWord => ({
  load: () => Atomics.load(cells, cell) >>> 0,
  or: (bits) => void Atomics.or(cells, cell, bits),
  clear: (bits) => void Atomics.and(cells, cell, ~bits),
  store: (value) => void Atomics.store(cells, cell, value),
})

const virtioResources = (
  vm: NativeVm,
  cells: Int32Array,
  memory: GuestMemory,
  dirtyLog: DirtyLog | undefined,
  slot: Layout.VirtioSlot,
  hasSynchronousQueues: boolean,
): VirtioResources => {
  // One notifier for all queues of a device: the kernel takes milliseconds for each one, and looking at a queue where
  // nothing is new takes nanoseconds. A device that is to see some queue's notifications itself has one for each other.
  const where = { space: "mmio", address: slot.address + Register.QueueNotify, length: 4 } as const
  const callbacks = new Map<number, () => void>()
  const registered = new Set<number>()
  const register = (queue: number): void => {
    if (registered.has(hasSynchronousQueues ? queue : 0)) return
    registered.add(hasSynchronousQueues ? queue : 0)
    if (hasSynchronousQueues) vm.addNotifier({ ...where, datamatch: queue }, () => callbacks.get(queue)?.())
    else {
      vm.addNotifier(where, () => {
        for (const each of callbacks.values()) each()
      })
    }
  }
  const subscribe = (queue: number, callback: () => void): (() => void) => {
    callbacks.set(queue, callback)
    register(queue)
    return () => {
      if (callbacks.get(queue) === callback) callbacks.delete(queue)
    }
  }
  vm.addStatusCell(slot.index, slot.address + Register.InterruptStatus, slot.address + Register.InterruptACK)
  return {
    memory,
    interrupt: interruptLine(vm, slot.gsi),
    status: statusWord(cells, slot.index),
    notifier: { subscribe },
    ...(dirtyLog === undefined ? {} : { written: dirtyLog.written }),
  }
}

const balloonFactory = (setup: BalloonSetup, discard: Discard) => (resources: VirtioResources) => {
  const { targetMib = 0, statisticsIntervalSeconds = 0, ...features } = setup
  return makeBalloon(
    { ...resources, discard },
    {
      ...features,
      targetPages: targetMib * PAGES_A_MIB,
      statisticsIntervalMs: intervalMs(statisticsIntervalSeconds),
    },
  )
}

/** Two devices in one place would be a mistake in the layout, not of the caller. */
const claim = (space: AddressSpace, range: AddressRange, registers: Registers): Effect.Effect<void> =>
  space.register(range, registers).pipe(Effect.orDie, Effect.asVoid)

/** Puts a machine together; the scope's end takes it apart. The memories stay the caller's. */
export const makeMachine = (
  native: NativeAddon,
  options: MachineOptions,
): Effect.Effect<Machine, KvmError, Scope.Scope> =>
  Effect.gen(function* () {
    const bus = makeBus()
    const threads = yield* makeVcpuThreads(native, {
      vcpuCount: options.vcpus,
      bus,
      onFailure: options.onVcpuFailure,
    })
    const { vm } = threads
    const layout = Layout.memoryRegions(options.memories.reduce((total, memory) => total + memory.size, 0))
    const regions: GuestRegion[] = options.memories.map((memory, index) => ({
      guestAddress: layout[index]?.guestAddress ?? 0,
      size: memory.size,
      memory,
    }))
    const memory = makeGuestMemory(regions)
    const dirtyLog = options.trackDirtyPages ? makeDirtyLog(vm, regions) : undefined
    const discarded = makeWrittenPages(regions)
    const discard = makeDiscard(regions, (address, length) => {
      discarded.mark(address, length)
      // Discards go past KVM's dirty log, as every write of this process does.
      dirtyLog?.written(address, length)
    })
    const attempt = <A>(work: () => A): Effect.Effect<A, KvmError> => Effect.try({ try: work, catch: toKvmError })
    yield* attempt(() => {
      regions.forEach((region, slot) => {
        vm.setMemoryRegion({ slot, ...region, offset: 0 })
      })
    })

    const serial = yield* makeSerial({ interrupt: yield* attempt(() => interruptLine(vm, Layout.COM1_GSI)) })
    const i8042 = yield* makeI8042({ onReset: options.onReset })
    yield* claim(bus.pio, { base: Layout.COM1_PORT, size: SERIAL_PORTS }, serial.registers)
    yield* claim(bus.pio, { base: Layout.I8042_DATA_PORT, size: I8042_PORTS }, i8042.registers)
    const devices: AnyDevice[] = [serial, i8042]

    const cells = new Int32Array(vm.statusCells)
    const virtioMmio: Layout.VirtioSlot[] = []
    const plug = <D extends AnyDevice>(
      make: (resources: VirtioResources) => Effect.Effect<D, never, Scope.Scope>,
      hasSynchronousQueues = false,
    ) =>
      Effect.gen(function* () {
        const slot = Layout.virtioSlot(virtioMmio.length)
        const resources = yield* attempt(() => virtioResources(vm, cells, memory, dirtyLog, slot, hasSynchronousQueues))
        const device = yield* make(resources)
        yield* claim(bus.mmio, { base: slot.address, size: slot.size }, device.registers)
        virtioMmio.push(slot)
        devices.push(device)
        return device
      })
    const agentConsole = options.devices.agent ? yield* plug(makeConsole) : undefined
    if (options.devices.rng) yield* plug(makeRng)
    const setup = options.devices.balloon
    const balloon = setup ? yield* plug(balloonFactory(setup, discard), setup.freePageHinting) : undefined

    const resume = Effect.gen(function* () {
      for (const device of devices) device.kick()
      yield* threads.resume
    })
    return {
      vm,
      vcpus: options.vcpus,
      memory,
      dirtyLog,
      discarded,
      runPages: threads.runPages,
      serial,
      agentConsole,
      balloon,
      devices,
      virtioMmio,
      pause: threads.pause,
      resume,
    }
  })
