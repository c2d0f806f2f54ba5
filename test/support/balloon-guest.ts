/** A Linux guest with a balloon, and what the whole tests of the balloon do with it again and again. */
import { type Balloon, MicroVm, type MicroVmConfig } from "../../src/index.ts"
import { warmGuest } from "./warm-guest.ts"

type BalloonOptions = Exclude<NonNullable<NonNullable<MicroVmConfig["devices"]>["balloon"]>, false>

export const GUEST_MIB = 256

/** The configuration of a guest of 256 MiB with such a balloon. */
export const balloonMachine = (balloon: BalloonOptions = {}) => ({ memoryMib: GUEST_MIB, devices: { balloon } })

/** A running guest of 256 MiB that was booted once, and is restored here. */
export const balloonGuest = async (balloon: BalloonOptions = {}): Promise<MicroVm> =>
  MicroVm.restore(await warmGuest(balloonMachine(balloon)), { resume: true })

export const balloonOf = (vm: MicroVm): Balloon => {
  if (vm.balloon === undefined) throw new Error("this machine has no balloon")
  return vm.balloon
}

/** Long enough for the guest to give 200 MiB in pages of 4 KiB where KVM is emulated and the machine busy. */
const INFLATE_LIMIT_MS = 120_000

/** Sets the target and waits until the guest is there. */
export const inflateTo = async (vm: MicroVm, mib: number): Promise<void> => {
  await balloonOf(vm).setTarget(mib)
  await balloonOf(vm).waitFor(mib, { signal: AbortSignal.timeout(INFLATE_LIMIT_MS) })
}

/** Touches `mib` MiB in the guest and gives them back to it. */
export const fill = async (vm: MicroVm, mib: number, pattern = 0xa5): Promise<void> => {
  const { signal } = await vm.guest.fillMemory(mib, { huge: true, pattern })
  if (signal !== 0) throw new Error(`filling ${mib} MiB ended by signal ${signal}`)
}

/** A line of the guest's /proc/meminfo, in bytes. */
export const meminfo = async (vm: MicroVm, name: string): Promise<number> => {
  const value = (await vm.guest.memoryInfo()).meminfo.get(name)
  if (value === undefined) throw new Error(`no ${name} in the guest's /proc/meminfo`)
  return value
}
