/** What is saved of the entropy device: nothing of its own. */
import * as Schema from "effect/Schema"
import { virtioComponent } from "../virtio/state.ts"

export const RngV1 = Schema.Struct({})
export type RngV1 = typeof RngV1.Type

export const rngComponent = virtioComponent<RngV1>("virtio-rng", RngV1)
