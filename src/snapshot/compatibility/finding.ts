/** What a check of compatibility finds, and what follows from it. */

/** Every code that a finding can have. Stable: programs may decide by them. */
export type FindingCode =
  | "architecture"
  | "cpu-vendor"
  | "cpu-model"
  | "cpu-feature-lost"
  | "cpu-promise-lost"
  | "cpu-features-unknown"
  | "xsave-size"
  | "msr-not-settable"
  | "msrs-unknown"
  | "kvm-api"
  | "kvm-capability-missing"
  | "kvm-capability-lost"
  | "vcpu-count"
  | "tsc-frequency"
  | "tsc-scaled"
  | "tsc-unknown"
  | "kvm-kind"
  | "host-kernel-older"
  | "component-unknown"
  | "component-too-new"
  | "component-ignored"
  | "vcpu-state-unknown"
  | "reader-unknown"
  | "format-too-new"
  | "producer-newer"
  | "memory-too-small"
  | "memory-scarce"
  | "memory-file"
  | "resource-missing"
  | "resource-refused"
  | "resource-changed"
  | "resource-unchecked"
  | "parent-missing"
  | "parent-changed"
  | "parent-unchecked"
  | "chain-unusable"

/** `info` changes nothing, `care` may, `blocker` keeps the machine from running. */
export type Severity = "info" | "care" | "blocker"

/** One thing that the host and the snapshot do not agree in, or that cannot be told. */
export interface Finding {
  readonly code: FindingCode
  readonly severity: Severity
  /** What it is about, such as `AVX2` or `virtio-rng`. */
  readonly subject: string
  /** What the snapshot wants, for people. */
  readonly expected: string
  /** What the host has. */
  readonly actual: string
  /** What to do about it. */
  readonly remedy: string
}

export type Verdict = "runs" | "runs-with-care" | "will-not-run"

/** Whether a snapshot runs on a host, and all that speaks against it, the gravest first. */
export interface Compatibility {
  readonly verdict: Verdict
  readonly findings: readonly Finding[]
}

const GRAVITY: Readonly<Record<Severity, number>> = { info: 0, care: 1, blocker: 2 }
const VERDICTS: readonly Verdict[] = ["runs", "runs-with-care", "will-not-run"]

/** The gravest finding decides. */
export const judge = (findings: readonly Finding[]): Compatibility => {
  const gravity = Math.max(0, ...findings.map(({ severity }) => GRAVITY[severity]))
  return {
    verdict: VERDICTS[gravity] as Verdict,
    findings: [...findings].sort((a, b) => GRAVITY[b.severity] - GRAVITY[a.severity]),
  }
}
