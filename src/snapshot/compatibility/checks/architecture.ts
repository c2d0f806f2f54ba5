import type { Check } from "./check.ts"

/** The machine's architecture is the host's. */
export const checkArchitecture: Check = (needs, host) =>
  needs.architecture === host.architecture
    ? []
    : [
        {
          code: "architecture",
          severity: "blocker",
          subject: "architecture",
          expected: needs.architecture,
          actual: host.architecture,
          remedy: `restore on an ${needs.architecture} host`,
        },
      ]
