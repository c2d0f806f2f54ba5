/** KVM does not take a model-specific register. */
import * as Data from "effect/Data"

/** KVM here does not take the values of some model-specific registers. */
export class MsrRefused extends Data.TaggedError("MsrRefused")<{
  readonly message: string
  readonly vcpu: number
  readonly indices: readonly number[]
}> {
  readonly code = "CRYOVM_MSR_REFUSED"

  static at(vcpu: number, indices: readonly number[]): MsrRefused {
    const list = indices.map((index) => `0x${index.toString(16)}`).join(", ")
    return new MsrRefused({
      message: `this host's KVM does not take the values of the model-specific registers ${list} on vCPU ${vcpu}; a saved machine has to be restored on a host with the processor and kernel features of the one it was saved on`,
      vcpu,
      indices,
    })
  }
}
