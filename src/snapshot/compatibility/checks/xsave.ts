import { XSAVE_MIN_SIZE } from "../../../machine/kvm/xsave.ts"
import type { Check } from "./check.ts"

/** KVM_CAP_XSAVE2 tells the size of the area; without it the area is one page. */
export const checkXsave: Check = ({ vcpu }, { capabilities }) => {
  if (vcpu === null) return []
  const room = Math.max(XSAVE_MIN_SIZE, capabilities["XSAVE2"] ?? 0)
  if (vcpu.xsaveBytes <= room) return []
  return [
    {
      code: "xsave-size",
      severity: "blocker",
      subject: "XSAVE area",
      expected: `${vcpu.xsaveBytes} bytes`,
      actual: `${room} bytes`,
      remedy: "restore on a host with the vector and matrix registers of the one it was saved on",
    },
  ]
}
