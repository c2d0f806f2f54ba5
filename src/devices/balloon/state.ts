/** What is saved of the balloon device. */
import * as Schema from "effect/Schema"
import { U16, U32, U64 } from "../../state/primitives.ts"
import { type VirtioState, virtioComponent, virtioSchemaV1 } from "../virtio/state.ts"
import { VIRTIO_BALLOON_CMD_ID_DONE } from "./constants.ts"
import { MAX_UNKNOWN_TAGS, statisticNames } from "./statistics.ts"

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

/** Version 2: what the guest told that has no name here, and the last run of hinting also where none is under way. */
export const BalloonV2 = Schema.Struct({
  ...BalloonV1.fields,
  /** Values of tags that were not known, in order of the tags. */
  unknownStatistics: Schema.Array(TaggedValue).check(Schema.isMaxLength(MAX_UNKNOWN_TAGS)),
  /**
   * Id of the last run of free page hinting, 1 before the first. A driver ignores a run with the id that it has seen
   * last, so a restored machine has to go on counting from here.
   */
  lastHintCommand: U32,
})
export type BalloonV2 = typeof BalloonV2.Type

/** Version 1 does not tell how far its ids had come: from here on none of them is likely to have been used. */
const UNKNOWN_LAST_RUN = 0x10000

export const toV2 = (older: BalloonV1): BalloonV2 => ({
  ...older,
  unknownStatistics: [],
  lastHintCommand: older.hintCommand === VIRTIO_BALLOON_CMD_ID_DONE ? UNKNOWN_LAST_RUN : Math.max(older.hintCommand, 1),
})

/** Only what comes back the same can be written as version 1. */
export const toV1 = (newer: BalloonV2): BalloonV1 | undefined => {
  const { unknownStatistics, lastHintCommand, ...older } = newer
  return unknownStatistics.length === 0 && toV2(older).lastHintCommand === lastHintCommand ? older : undefined
}

export const balloonComponent = virtioComponent<BalloonV1>("virtio-balloon", BalloonV1).evolve<VirtioState<BalloonV2>>(
  virtioSchemaV1<BalloonV2>(BalloonV2),
  {
    up: (older) => ({ ...older, device: toV2(older.device) }),
    down: (newer) => {
      const device = toV1(newer.device)
      return device && { ...newer, device }
    },
  },
)
