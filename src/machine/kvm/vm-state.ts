/** The state of what the vCPUs of a machine share inside KVM, in a snapshot. */
import * as Schema from "effect/Schema"
import { component } from "../../state/component.ts"
import { KvmClockData } from "./clock.ts"
import { KvmIoapicState, KvmPicState } from "./irqchip.ts"
import { KvmPitState2 } from "./pit.ts"

/** Version 1. */
export const VmV1 = Schema.Struct({
  picMaster: KvmPicState.schema,
  picSlave: KvmPicState.schema,
  ioapic: KvmIoapicState.schema,
  pit: KvmPitState2.schema,
  clock: KvmClockData.schema,
})

export type VmState = typeof VmV1.Type

export const vmComponent = component<VmState>("vm", VmV1)
