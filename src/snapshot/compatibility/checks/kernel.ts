import { compareVersions } from "../compare-versions.ts"
import type { Check } from "./check.ts"

/** KVM's saved state grows with kernels; an older one may not take all that a newer one gave. */
export const checkKernel: Check = ({ host: writer }, { kernelRelease }) =>
  compareVersions(kernelRelease, writer.kernelRelease) >= 0
    ? []
    : [
        {
          code: "host-kernel-older",
          severity: "care",
          subject: "host kernel",
          expected: `${writer.kernelRelease} or newer`,
          actual: kernelRelease,
          remedy: "restore on a host with a kernel that is no older, where KVM refuses the state",
        },
      ]
