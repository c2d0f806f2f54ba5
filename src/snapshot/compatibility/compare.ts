/** All checks together: pure, from what a snapshot needs and what a host is to a verdict. */
import type { HostProfile } from "../../machine/host-profile.ts"
import type { ResolvedResource } from "../restore/resources.ts"
import { checkArchitecture } from "./checks/architecture.ts"
import { checkCapabilities } from "./checks/capabilities.ts"
import { checkChain } from "./checks/chain.ts"
import type { Check } from "./checks/check.ts"
import { checkComponents } from "./checks/components.ts"
import { checkFeatures } from "./checks/features.ts"
import { checkMemoryFile } from "./checks/files.ts"
import { checkFormat, checkProducer } from "./checks/format.ts"
import { checkKernel } from "./checks/kernel.ts"
import { checkKvmKind } from "./checks/kvm-kind.ts"
import { checkMemory } from "./checks/memory.ts"
import { checkMsrs } from "./checks/msrs.ts"
import { checkProcessor } from "./checks/processor.ts"
import { checkFound, checkResources } from "./checks/resources.ts"
import { checkTsc } from "./checks/tsc.ts"
import { checkVcpuCount } from "./checks/vcpu-count.ts"
import { checkXsave } from "./checks/xsave.ts"
import type { SnapshotFacts } from "./facts.ts"
import { type Compatibility, type Finding, judge } from "./finding.ts"
import type { SnapshotNeeds } from "./needs.ts"

/** What reading the snapshot proves by itself. */
const proveReadable: readonly Check[] = [checkArchitecture, checkFormat, checkProducer, checkComponents]

/** What only a comparison with the host shows. */
const proveRunnable: readonly Check[] = [
  checkProcessor,
  checkFeatures,
  checkXsave,
  checkMsrs,
  checkCapabilities,
  checkVcpuCount,
  checkTsc,
  checkKvmKind,
  checkKernel,
  checkMemory,
]

const run = (checks: readonly Check[], needs: SnapshotNeeds, host: HostProfile): readonly Finding[] =>
  checks.flatMap((check) => check(needs, host))

/** @param facts of the files, where `host` is this one */
export const compare = (needs: SnapshotNeeds, host: HostProfile, facts?: SnapshotFacts): Compatibility =>
  judge([
    ...run(proveReadable, needs, host),
    ...run(proveRunnable, needs, host),
    ...(facts === undefined ? [] : checkMemoryFile(needs, facts)),
    ...checkResources(needs, facts),
    ...checkChain(needs, facts),
  ])

/** For a snapshot that has been read already. @param resources what it needs outside of itself, looked at */
export const compareRead = (
  needs: SnapshotNeeds,
  host: HostProfile,
  resources: readonly ResolvedResource[],
): Compatibility => judge([...run(proveRunnable, needs, host), ...checkFound({ resources, problems: [] })])
