/** Sets fresh vCPUs up for a kernel's entry. */
import type { NativeHostProbe, NativeVm } from "../../native.ts"
import { decodeCpuid, encodeCpuid } from "../kvm/cpuid.ts"
import { MsrRefused } from "../kvm/msr-refused.ts"
import { encodeMsrs } from "../kvm/msrs.ts"
import { encodeRegs } from "../kvm/regs.ts"
import { decodeSregs, encodeSregs } from "../kvm/sregs.ts"
import type { LoadedKernel } from "../loader/kernel.ts"
import { bootMsrs } from "./boot-msrs.ts"
import { bootRegs, bootSregs } from "./boot-registers.ts"
import { guestCpuid } from "./cpuid.ts"
import { bootLapic } from "./lapic.ts"

/**
 * Gives every vCPU its CPUID, model-specific registers and local APIC, and the boot processor the registers of the
 * kernel's entry.
 * @throws KvmError, MsrRefused
 */
export const setBootState = (
  vm: NativeVm,
  host: Pick<NativeHostProbe, "supportedCpuid" | "capabilities">,
  kernel: Pick<LoadedKernel, "protocol" | "entry">,
): void => {
  const supported = decodeCpuid(host.supportedCpuid)
  const options = { tscDeadlineTimer: (host.capabilities.TSC_DEADLINE_TIMER ?? 0) > 0 }
  const msrs = encodeMsrs(bootMsrs)
  for (let vcpu = 0; vcpu < vm.vcpuCount; vcpu++) {
    vm.setVcpu(vcpu, "cpuid2", encodeCpuid(guestCpuid(supported, vcpu, vm.vcpuCount, options)))
    const refused = vm.setMsrs(vcpu, msrs)
    if (refused.length > 0) throw MsrRefused.at(vcpu, refused)
    vm.setVcpu(vcpu, "lapic", bootLapic(vm.getVcpu(vcpu, "lapic")))
  }
  vm.setVcpu(0, "sregs", encodeSregs(bootSregs(kernel.protocol, decodeSregs(vm.getVcpu(0, "sregs")))))
  vm.setVcpu(0, "regs", encodeRegs(bootRegs(kernel.protocol, kernel.entry)))
}
