/** What was written to guest memory, by the guest as KVM logs it and by this process, from one look to the next. */
import type { NativeVm } from "../native.ts"
import type { GuestRegion } from "./guest-memory.ts"
import type { PageBitmaps } from "./page-bitmap.ts"
import { makeWrittenPages } from "./written-pages.ts"

export interface DirtyLog {
  /** This process wrote to guest memory. */
  readonly written: (address: number, length: number) => void
  /**
   * The pages written since the last call; the first one turns KVM's log on, and what it gives means nothing. Only while
   * every vCPU is parked and the devices are quiesced. After a failure nothing is lost: the next call tells of it.
   * @throws what KVM refuses
   */
  collect(): PageBitmaps
}

/** The log of a machine whose regions are in slots by their index. It is off, which costs the guest nothing. */
export const makeDirtyLog = (
  vm: Pick<NativeVm, "setMemoryRegion" | "getDirtyLog" | "clearDirtyLog">,
  regions: readonly GuestRegion[],
): DirtyLog => {
  const pages = makeWrittenPages(regions)
  let logged = 0
  const turnOn = (): void => {
    for (; logged < regions.length; logged++) {
      vm.setMemoryRegion({ slot: logged, ...regions[logged]!, offset: 0, logDirtyPages: true })
    }
  }
  return {
    written: pages.mark,
    collect: () => {
      turnOn()
      regions.forEach((_, slot) => {
        const bitmap = vm.getDirtyLog(slot)
        pages.join(slot, bitmap)
        // At once, before the pages are read: what is still written by then is in the log again, once too often at worst.
        vm.clearDirtyLog(slot, bitmap)
      })
      return pages.take()
    },
  }
}
