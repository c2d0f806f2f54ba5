/** What is saved of the console device. */
import * as Schema from "effect/Schema"
import { BoundedBytes } from "../../state/primitives.ts"
import { virtioComponent } from "../virtio/state.ts"

/** Bytes accepted from the host that the guest has not taken. */
export const MAX_INPUT_BYTES = 2 * 1024 * 1024

export const ConsoleV1 = Schema.Struct({ input: BoundedBytes(MAX_INPUT_BYTES) })
export type ConsoleV1 = typeof ConsoleV1.Type

export const consoleComponent = virtioComponent<ConsoleV1>("virtio-console", ConsoleV1)
