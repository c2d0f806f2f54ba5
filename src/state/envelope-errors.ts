/** What can be wrong with a `state.cryo` as a file, before any state in it is looked at. */
import * as Data from "effect/Data"

/** Name and version of the program that wrote a snapshot. */
export interface Producer {
  readonly name: string
  readonly version: string
}

/** What a `state.cryo` consists of. */
export type StatePart = "header" | "manifest" | "sections" | "digests"

/** The file ends before its header says it does. */
export class StateTruncated extends Data.TaggedError("StateTruncated")<{
  readonly message: string
  /** Bytes that there should be, as far as the file tells. */
  readonly expectedBytes: number
  readonly actualBytes: number
}> {
  readonly code = "CRYOVM_STATE_TRUNCATED"
}

/** A part of the file is not what was written: its digest differs, or its header contradicts itself. */
export class StateCorrupt extends Data.TaggedError("StateCorrupt")<{
  readonly message: string
  readonly part: StatePart | "end"
}> {
  readonly code = "CRYOVM_STATE_CORRUPT"
}

/** The file is no `state.cryo` at all. */
export class StateNotCryovm extends Data.TaggedError("StateNotCryovm")<{
  readonly message: string
}> {
  readonly code = "CRYOVM_STATE_NOT_CRYOVM"
}

/** A part of the file is larger than any state can sensibly be; nothing was allocated for it. */
export class StateTooLarge extends Data.TaggedError("StateTooLarge")<{
  readonly message: string
  readonly part: StatePart | "file"
  readonly bytes: number
  readonly maximumBytes: number
}> {
  readonly code = "CRYOVM_STATE_TOO_LARGE"
}

/** The file has a format version that this release does not read. */
export class StateFormatTooNew extends Data.TaggedError("StateFormatTooNew")<{
  readonly message: string
  /** Format version of the file. */
  readonly formatVersion: number
  /** Newest format version that this release reads; it reads every older one. */
  readonly readableVersion: number
  /** Who wrote the file, where its manifest still tells. */
  readonly producer: Producer | undefined
}> {
  readonly code = "CRYOVM_STATE_FORMAT_TOO_NEW"
}
