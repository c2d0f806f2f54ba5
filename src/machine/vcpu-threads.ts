/**
 * The vCPU threads of one machine: what they ask is served from the buses; they pause and resume together.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Bus } from "../devices/bus.ts"
import { type KvmError, type NativeAddon, type NativeVcpuStop, type NativeVm, toKvmError } from "../native.ts"
import { KVM_DEVICE } from "./host.ts"
import { RunPage } from "./run-page.ts"

export interface VcpuThreadsOptions {
  readonly vcpuCount: number
  readonly bus: Bus
  /** A vCPU parked because it cannot go on. The others may still be running. */
  readonly onFailure: (stop: NativeVcpuStop) => void
}

export interface VcpuThreads {
  readonly vm: NativeVm
  readonly runPages: readonly RunPage[]
  /** Parks every vCPU, finishing what each has half done. Not interruptible; takes microseconds to milliseconds. */
  readonly pause: Effect.Effect<void>
  /** Lets every vCPU run. */
  readonly resume: Effect.Effect<void, KvmError>
}

/** Creates the virtual machine with its vCPUs, parked; the scope's end closes it. */
export const makeVcpuThreads = (
  native: NativeAddon,
  options: VcpuThreadsOptions,
): Effect.Effect<VcpuThreads, KvmError, Scope.Scope> =>
  Effect.gen(function* () {
    let parked = new Set<number>()
    let allParked: (() => void) | undefined

    const onStop = (stop: NativeVcpuStop): void => {
      if (stop.reason !== "paused") options.onFailure(stop)
      else if (parked.add(stop.vcpu).size === options.vcpuCount) allParked?.()
    }

    const runPages: RunPage[] = []
    const onAccess = (vcpu: number): void => runPages[vcpu]?.serve()

    const vm = yield* Effect.acquireRelease(
      Effect.try({
        try: () => native.createVm(KVM_DEVICE, { vcpuCount: options.vcpuCount, onAccess, onStop }),
        catch: toKvmError,
      }),
      (opened) => Effect.promise(() => opened.close()),
    )
    for (const run of vm.run) runPages.push(new RunPage(run, options.bus))

    const pause = Effect.callback<void>((resume) => {
      parked = new Set()
      allParked = () => {
        allParked = undefined
        resume(Effect.void)
      }
      vm.pause()
    }).pipe(Effect.uninterruptible)

    const resume = Effect.try({ try: () => vm.resume(), catch: toKvmError })
    return { vm, runPages, pause, resume }
  })
