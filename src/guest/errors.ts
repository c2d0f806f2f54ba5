import * as Data from "effect/Data"

/** The guest agent answered a request with an errno. */
export class GuestRequestFailed extends Data.TaggedError("GuestRequestFailed")<{
  readonly message: string
  readonly operation: string
  /** Linux errno as the guest reported it. */
  readonly errno: number
  /** Its symbolic name, for example `ENOENT`. */
  readonly errnoName: string
}> {
  readonly code = "CRYOVM_GUEST_REQUEST_FAILED"
}

/** The agent of this guest is older than the request: it came with an earlier release, or out of an old snapshot. */
export class GuestAgentTooOld extends Data.TaggedError("GuestAgentTooOld")<{
  readonly message: string
  readonly operation: string
  /** Version of the agent's protocol that the operation takes. */
  readonly protocolVersion: number
}> {
  readonly code = "CRYOVM_GUEST_AGENT_TOO_OLD"
}

/** The entropy given for the guest's random number generator is too little or too much. */
export class GuestEntropyInvalid extends Data.TaggedError("GuestEntropyInvalid")<{
  readonly message: string
  readonly minBytes: number
  readonly maxBytes: number
}> {
  readonly code = "CRYOVM_GUEST_ENTROPY_INVALID"
}

/** The guest agent gave no answer in time: not booted yet, no agent in this guest, or the guest hangs. */
export class GuestTimeout extends Data.TaggedError("GuestTimeout")<{
  readonly message: string
  readonly operation: string
  readonly timeoutMs: number
}> {
  readonly code = "CRYOVM_GUEST_TIMEOUT"
}

/** The guest cannot answer any more: the machine stopped or failed, or it has no agent device. */
export class GuestUnavailable extends Data.TaggedError("GuestUnavailable")<{
  readonly message: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_GUEST_UNAVAILABLE"
}

/** The guest agent's answer makes no sense. */
export class GuestProtocolError extends Data.TaggedError("GuestProtocolError")<{
  readonly message: string
  readonly operation: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_GUEST_PROTOCOL"
}

/** A request is longer than the agent takes at once: too many arguments, or too much standard input. */
export class GuestRequestTooLarge extends Data.TaggedError("GuestRequestTooLarge")<{
  readonly message: string
  readonly operation: string
  readonly bytes: number
  readonly limit: number
}> {
  readonly code = "CRYOVM_GUEST_REQUEST_TOO_LARGE"
}

/** A program in the guest wrote more than the caller was ready to hold. */
export class GuestOutputTooLarge extends Data.TaggedError("GuestOutputTooLarge")<{
  readonly message: string
  readonly limit: number
}> {
  readonly code = "CRYOVM_GUEST_OUTPUT_TOO_LARGE"
}

export type GuestError =
  | GuestAgentTooOld
  | GuestEntropyInvalid
  | GuestRequestTooLarge
  | GuestRequestFailed
  | GuestTimeout
  | GuestUnavailable
  | GuestProtocolError
  | GuestOutputTooLarge
