/**
 * Since which snapshot it is known what was written to a machine's memory, as a state machine of its own.
 *
 * The log is read, and so begins anew, when a snapshot is begun; whether that snapshot will ever be durable is only known
 * when the guest runs again. Until then the pages that were read are kept. A snapshot is named by the digest of its
 * header.
 */
import * as Data from "effect/Data"
import { type PageBitmaps, union } from "./page-bitmap.ts"

export type Tracking = Data.TaggedEnum<{
  /** There is no snapshot yet that the log would be of use for. */
  // biome-ignore lint/complexity/noBannedTypes: how Data.TaggedEnum writes a case without fields
  Untracked: {}
  /** What was written since `parent` is in the log, and in `unsaved`: pages of snapshots that came to nothing. */
  Tracked: { readonly parent: string; readonly unsaved: PageBitmaps | undefined }
  /**
   * A snapshot is being written. `pages`: what was written from `parent` to its beginning. The log has what was written
   * since then.
   */
  Saving: { readonly parent: string | undefined; readonly pages: PageBitmaps }
}>
export const Tracking = Data.taggedEnum<Tracking>()

export type TrackingEvent = Data.TaggedEnum<{
  /** A snapshot begins. `collected`: what was in the log. */
  Began: { readonly collected: PageBitmaps }
  /** It is published and durable. */
  Durable: { readonly digest: string }
  /** It is not, for whatever reason. */
  // biome-ignore lint/complexity/noBannedTypes: as above
  Failed: {}
}>
export const TrackingEvent = Data.taggedEnum<TrackingEvent>()

/** The state that follows. A snapshot that begins ends the one before: that one came to nothing. */
export const step = (state: Tracking, event: TrackingEvent): Tracking => {
  switch (event._tag) {
    case "Began": {
      const before = step(state, TrackingEvent.Failed())
      if (before._tag !== "Tracked") return Tracking.Saving({ parent: undefined, pages: event.collected })
      const { parent, unsaved } = before
      return Tracking.Saving({
        parent,
        pages: unsaved === undefined ? event.collected : union(unsaved, event.collected),
      })
    }
    case "Durable":
      return state._tag === "Saving" ? Tracking.Tracked({ parent: event.digest, unsaved: undefined }) : state
    case "Failed":
      if (state._tag !== "Saving") return state
      return state.parent === undefined
        ? Tracking.Untracked()
        : Tracking.Tracked({ parent: state.parent, unsaved: state.pages })
  }
}
