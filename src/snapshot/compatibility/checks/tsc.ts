import { TSC_TOLERANCE } from "../../../machine/kvm/save-restore.ts"
import type { Check } from "./check.ts"

const inKhz = (khz: number): string => `${khz} kHz`

/** The guest's TSC can run as fast as it did, within what NTP trims. */
export const checkTsc: Check = ({ vcpu }, { tscKhz, tscScales }) => {
  if (vcpu === null) return []
  const saved = vcpu.tscKhz
  const finding = {
    subject: "TSC",
    expected: saved === 0 ? "a frequency that was not recorded" : inKhz(saved),
    actual: tscKhz === 0 ? "a frequency that is not known" : inKhz(tscKhz),
  }
  if (saved === 0 || tscKhz === 0) {
    const remedy = "nothing, where both hosts are of one model"
    return [{ ...finding, code: "tsc-unknown", severity: "info", remedy }]
  }
  if (Math.abs(saved - tscKhz) <= saved * TSC_TOLERANCE) return []
  if (tscScales === true) {
    const remedy = "nothing: the host's KVM scales it"
    return [{ ...finding, code: "tsc-scaled", severity: "info", remedy }]
  }
  const actual = `${finding.actual}, and ${tscScales === null ? "whether it scales is not known" : "no scaling"}`
  const remedy = "restore on a host with TSC scaling or with the same frequency"
  return [{ ...finding, actual, code: "tsc-frequency", severity: "blocker", remedy }]
}
