import type { HostProfile } from "../../../machine/host-profile.ts"
import type { Finding } from "../finding.ts"
import type { SnapshotNeeds } from "../needs.ts"

/** One aspect of whether a snapshot runs on a host. Pure, and silent where there is nothing to say. */
export type Check = (needs: SnapshotNeeds, host: HostProfile) => readonly Finding[]
