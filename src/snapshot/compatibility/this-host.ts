/** The profile of the host that this process runs on. Measured once: nothing of it changes while a process lives. */
import * as Effect from "effect/Effect"
import type { HostUnsupported } from "../../machine/errors.ts"
import { KVM_DEVICE, probeHost } from "../../machine/host.ts"
import { availableMemory, type HostProfile, hostProfile, measureVcpu } from "../../machine/host-profile.ts"
import {
  type KvmError,
  loadNative,
  type NativeAddonMissing,
  type NativeHostProbe,
  type NativeVm,
  toKvmError,
} from "../../native.ts"
import { readerProfile } from "../reader.ts"

let here: HostProfile | undefined

/**
 * The profile, by a machine that is being made. The memory that is available is left out.
 * @param vm one that has never run, and whose vCPUs are still to be set up
 */
export const hostOf = (vm: NativeVm, probe: NativeHostProbe): Effect.Effect<HostProfile, KvmError> =>
  Effect.try({
    try: () => {
      here ??= hostProfile(probe, measureVcpu(vm, probe), readerProfile)
      return here
    },
    catch: toKvmError,
  })

/** By a machine made for it. Where KVM makes none, what only a vCPU tells is not known. */
const measureByMachine = (probe: NativeHostProbe): Effect.Effect<HostProfile> =>
  Effect.promise(async () => {
    try {
      const vm = loadNative().createVm(KVM_DEVICE, { vcpuCount: 1, onAccess: () => {}, onStop: () => {} })
      try {
        here = hostProfile(probe, measureVcpu(vm, probe), readerProfile)
        return here
      } finally {
        await vm.close()
      }
    } catch {
      return hostProfile(probe, undefined, readerProfile)
    }
  })

/** Measures this host, the first time in some 20 ms; how much memory is available, each time. */
export const measureHost: Effect.Effect<HostProfile, HostUnsupported | NativeAddonMissing> = Effect.gen(function* () {
  const profile = here ?? (yield* measureByMachine(yield* probeHost))
  return { ...profile, availableMemoryBytes: availableMemory() }
})
