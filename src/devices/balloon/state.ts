/** What is saved of the balloon device. */
import * as Schema from "effect/Schema"
import { U16, U32, U64 } from "../../state/primitives.ts"
import { virtioComponent } from "../virtio/state.ts"
import { statisticNames } from "./statistics.ts"

const TaggedValue = Schema.Struct({ tag: U16, value: U64 })

/** Version 1. */
export const BalloonV1 = Schema.Struct({
  targetPages: U32,
  actualPages: U32,
  /** Milliseconds; 0: no polling. */
  statisticsIntervalMs: U32,
  /** The latest value of each known tag, in order of the tags. */
  statistics: Schema.Array(TaggedValue).check(Schema.isMaxLength(statisticNames.length)),
  /** Head of the buffer that waits to be given back as the next request. */
  heldStatistics: Schema.NullOr(U16),
  /** `free_page_hint_cmd_id` as the guest read it. */
  hintCommand: U32,
})
export type BalloonV1 = typeof BalloonV1.Type

export type BalloonState = BalloonV1
export const balloonComponent = virtioComponent<BalloonV1>("virtio-balloon", BalloonV1)
