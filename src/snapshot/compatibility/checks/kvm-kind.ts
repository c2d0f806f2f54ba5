import type { Check } from "./check.ts"

interface Kind {
  readonly kvmKind: string | null
  readonly kvmModules: readonly string[] | null
}

/** Of the kinds that are neither VT-x nor AMD-V, the modules tell which it is. */
const describe = ({ kvmKind, kvmModules }: Kind): string | null =>
  kvmKind === "other" ? ["other", ...(kvmModules ?? []).filter((name) => name !== "kvm")].join(" ") : kvmKind

/** Guests meet the same processor, but each kind of KVM has its own limits, speed and mistakes. */
export const checkKvmKind: Check = ({ host: writer }, host) => {
  const expected = describe(writer)
  const actual = describe(host)
  if (expected === null || actual === null || expected === actual) return []
  return [
    {
      code: "kvm-kind",
      severity: "care",
      subject: "kind of KVM",
      expected,
      actual,
      remedy: "try it with a copy first: kinds of KVM differ in what they emulate",
    },
  ]
}
