import type { Finding } from "../finding.ts"
import type { Check } from "./check.ts"

const remedy = "use a newer cryovm there"

/** The cryovm there reads every section; an optional one it may leave alone. */
export const checkComponents: Check = ({ components, vcpu }, { cryovm }) => {
  if (cryovm === null) {
    return [
      {
        code: "reader-unknown",
        severity: "info",
        subject: "cryovm",
        expected: "one that reads this snapshot",
        actual: "the profile does not tell",
        remedy: "take the profile anew with this release of cryovm",
      },
    ]
  }
  const findings = components.flatMap(({ name, kind, version, optional }): readonly Finding[] => {
    const readable = cryovm.components[kind]
    if (readable !== undefined && version <= readable) return []
    const finding = {
      subject: name,
      expected: `${kind} of version ${version}`,
      actual: readable === undefined ? `cryovm ${cryovm.version} does not know it` : `up to version ${readable}`,
    }
    if (optional) {
      const nothing = "nothing: it is left alone"
      return [{ ...finding, code: "component-ignored", severity: "info", remedy: nothing }]
    }
    const code = readable === undefined ? "component-unknown" : "component-too-new"
    return [{ ...finding, code, severity: "blocker", remedy }]
  })
  if (vcpu !== null) return findings
  return [
    ...findings,
    {
      code: "vcpu-state-unknown",
      severity: "care",
      subject: "vCPUs",
      expected: "their features and registers",
      actual: "of a version that could not be read where the snapshot was looked at",
      remedy: "look at the snapshot with a newer cryovm",
    },
  ]
}
