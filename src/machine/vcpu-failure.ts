/**
 * Turns the exit that ended a vCPU into a typed error with registers and instruction bytes.
 */

import type { GuestMemory } from "../memory/guest-memory.ts"
import type { NativeVcpuStop, NativeVm } from "../native.ts"
import { type RegisterDump, VcpuFailed } from "./errors.ts"
import { decodeRegs } from "./kvm/regs.ts"
import { decodeSregs } from "./kvm/sregs.ts"
import { ExitReason, exitReasonName, type RunPage } from "./run-page.ts"

const reasonOf = (stop: NativeVcpuStop): VcpuFailed["reason"] => {
  if (stop.reason === "error") return "runFailed"
  if (stop.reason === "handler") return "handler"
  if (stop.exitReason === ExitReason.SHUTDOWN) return "tripleFault"
  if (stop.exitReason === ExitReason.INTERNAL_ERROR) return "internalError"
  if (stop.exitReason === ExitReason.FAIL_ENTRY) return "entryFailed"
  return "unexpectedExit"
}

const PAGING = 1n << 31n
const INSTRUCTION_BYTES = 15

const describe: Readonly<Record<VcpuFailed["reason"], string>> = {
  tripleFault: "had a triple fault",
  internalError: "met an instruction that KVM cannot emulate",
  entryFailed: "could not be entered",
  unexpectedExit: "left the guest for a reason that nothing serves",
  runFailed: "could not be run",
  handler: "accessed a device of ours that failed; this is a defect of cryovm",
}

/** Reads what is known of the failure. Every vCPU must be parked. */
export const describeVcpuFailure = (
  vm: NativeVm,
  memory: GuestMemory,
  runPage: RunPage | undefined,
  stop: NativeVcpuStop,
): VcpuFailed => {
  const regs = decodeRegs(vm.getVcpu(stop.vcpu, "regs"))
  const sregs = decodeSregs(vm.getVcpu(stop.vcpu, "sregs"))
  const registers: RegisterDump = {
    ...regs,
    cr0: sregs.cr0,
    cr2: sregs.cr2,
    cr3: sregs.cr3,
    cr4: sregs.cr4,
    efer: sregs.efer,
  }
  const reason = reasonOf(stop)
  let instructionBytes = runPage?.instructionBytes ?? new Uint8Array(0)
  if (instructionBytes.length === 0 && (sregs.cr0 & PAGING) === 0n) {
    // Without paging an address is physical, and the bytes can be looked up; with paging only KVM knows them.
    const address = Number((sregs.cs.base + regs.rip) & 0xffff_ffffn)
    instructionBytes = memory.bytes(address, INSTRUCTION_BYTES)?.slice() ?? instructionBytes
  }
  const exit = stop.reason === "exit" ? exitReasonName(stop.exitReason) : stop.reason
  const detail = reason === "internalError" ? `, suberror ${runPage?.detail}` : ""
  const errno = stop.errno === 0 ? "" : `, errno ${stop.errno}`
  return new VcpuFailed({
    message: `vCPU ${stop.vcpu} ${describe[reason]} (${exit}${detail}${errno}) at rip 0x${regs.rip.toString(16)}`,
    vcpu: stop.vcpu,
    reason,
    exit,
    registers,
    instructionBytes,
    ...(stop.cause === undefined ? {} : { cause: stop.cause }),
  })
}
