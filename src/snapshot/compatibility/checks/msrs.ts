import { msrName } from "../../../machine/kvm/msr-names.ts"
import type { Check } from "./check.ts"

/** Every register with a value is one that KVM there takes. Whether it takes that very value only KVM can tell. */
export const checkMsrs: Check = ({ vcpu }, { msrIndices }) => {
  if (vcpu === null) return []
  if (msrIndices === null) {
    return [
      {
        code: "msrs-unknown",
        severity: "care",
        subject: "model-specific registers",
        expected: `${vcpu.msrs.length} registers to be set`,
        actual: "the profile does not tell",
        remedy: "take the profile anew with this release of cryovm",
      },
    ]
  }
  const settable = new Set(msrIndices)
  return vcpu.msrs
    .filter((index) => !settable.has(index))
    .map((index) => ({
      code: "msr-not-settable",
      severity: "blocker",
      subject: msrName(index),
      expected: "settable: the guest left a value in it",
      actual: "not in the list of the host's KVM",
      remedy: "restore on a host with the processor and kernel features of the one it was saved on",
    }))
}
