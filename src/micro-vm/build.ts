/** Machines as they are made: booted from a configuration, or restored from a snapshot. */
import * as Effect from "effect/Effect"
import { type BootPlan, bootMachine } from "../machine/boot-machine.ts"
import { requireHost } from "../machine/host.ts"
import type { ClockData } from "../machine/kvm/clock.ts"
import { type ClockRealtimeMissing, clockToSet } from "../machine/kvm/paused-time.ts"
import { memoryRegions } from "../machine/layout.ts"
import { makeMachine } from "../machine/machine.ts"
import { mapMemories } from "../memory/map-memory.ts"
import { loadNative, toKvmError } from "../native.ts"
import { requireCompatible } from "../snapshot/compatibility/for-restore.ts"
import { hostOf } from "../snapshot/compatibility/this-host.ts"
import { requireVerified } from "../snapshot/operations/verify.ts"
import { openSnapshot } from "../snapshot/restore/open.ts"
import { restoreMachine } from "../snapshot/restore/restore-machine.ts"
import { MemoryHistory } from "../snapshot/save/memory-history.ts"
import type { RestoreSettings } from "./api.ts"
import type { Foundation, MachineHandlers } from "./generation.ts"

/** A machine with its kernel loaded, ready to start. */
export const buildBooted = (plan: BootPlan) => (handlers: MachineHandlers) =>
  Effect.gen(function* () {
    const probe = yield* requireHost
    const native = loadNative()
    const regions = memoryRegions(plan.memoryBytes)
    const memories = yield* mapMemories(
      native,
      regions.map(({ size }) => ({ size, source: { kind: "anonymous" } })),
    )
    const { vcpus, devices, trackDirtyPages } = plan.config
    const machine = yield* makeMachine(native, { vcpus, devices, memories, trackDirtyPages, ...handlers })
    const host = yield* hostOf(machine.vm, probe)
    const machineState = yield* bootMachine(machine, plan, probe)
    const history = new MemoryHistory(machine, undefined)
    return { machine, machineState, probe, host, history } satisfies Foundation
  })

/** Fails before anything is put in place, rather than when the machine is resumed. */
const requireRealtime = (saved: ClockData): Effect.Effect<void, ClockRealtimeMissing> =>
  Effect.try({ try: () => void clockToSet(saved, true), catch: (error) => error as ClockRealtimeMissing })

/** A machine as a snapshot has it, paused. */
export const buildRestored = (dir: string, options: RestoreSettings) => (handlers: MachineHandlers) =>
  Effect.gen(function* () {
    const probe = yield* requireHost
    if (options.verify === true) yield* requireVerified(dir, options)
    const native = loadNative()
    const opened = yield* openSnapshot(dir, options)
    const memories = yield* mapMemories(native, opened.chain.memories)
    const { vcpus, devices } = opened.state.machine
    const trackDirtyPages = options.trackDirtyPages === true
    const machine = yield* makeMachine(native, { vcpus, devices, memories, trackDirtyPages, ...handlers })
    const host = yield* hostOf(machine.vm, probe)
    if (options.force !== true) yield* requireCompatible(dir, opened, host, options.compatibility)
    const realtime = options.clock === "realtime"
    if (realtime) yield* requireRealtime(opened.state.vm.clock)
    const time = yield* restoreMachine(machine, opened.state)
    const history = yield* Effect.try({ try: () => new MemoryHistory(machine, opened.digest), catch: toKvmError })
    return {
      machine,
      machineState: opened.state.machine,
      probe,
      host,
      history,
      restored: { time, realtime },
    } satisfies Foundation
  })

/** Why a snapshot cannot be brought back. */
export type BuildError = Effect.Error<ReturnType<ReturnType<typeof buildRestored>>>
