import * as Data from "effect/Data"

/** Registers of a vCPU as an error report wants them: name to value. */
export type RegisterDump = Readonly<Record<string, bigint>>

/** A vCPU cannot go on: triple fault, an instruction that KVM cannot emulate, a failed entry or KVM_RUN. */
export class VcpuFailed extends Data.TaggedError("VcpuFailed")<{
  readonly message: string
  readonly vcpu: number
  /**
   * `tripleFault`: KVM_EXIT_SHUTDOWN. `internalError`: KVM_EXIT_INTERNAL_ERROR. `entryFailed`: KVM_EXIT_FAIL_ENTRY.
   * `unexpectedExit`: another exit that nothing serves. `runFailed`: KVM_RUN gave an errno. `handler`: a device of
   * ours threw, a defect of this library.
   */
  readonly reason: "tripleFault" | "internalError" | "entryFailed" | "unexpectedExit" | "runFailed" | "handler"
  /** KVM_EXIT_* by name. */
  readonly exit: string
  readonly registers: RegisterDump
  /** Bytes of the instruction at fault, where KVM gave them or they could be read at RIP. */
  readonly instructionBytes: Uint8Array
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_VCPU_FAILED"
}

/** A file named in the configuration cannot be read. */
export class BootFileUnreadable extends Data.TaggedError("BootFileUnreadable")<{
  readonly message: string
  /** Field of the configuration. */
  readonly field: string
  readonly path: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_BOOT_FILE_UNREADABLE"
}

/** The host lacks something this library cannot work without. */
export class HostUnsupported extends Data.TaggedError("HostUnsupported")<{
  readonly message: string
  /** All that is missing: capability names, or what is wrong with `/dev/kvm`. */
  readonly missing: readonly string[]
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_HOST_UNSUPPORTED"
}
