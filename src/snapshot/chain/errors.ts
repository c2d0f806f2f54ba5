/** What can go wrong between a diff snapshot and its parents. */
import * as Data from "effect/Data"

/** The snapshot that another one is a difference to is nowhere where it was looked for. */
export class ParentMissing extends Data.TaggedError("ParentMissing")<{
  readonly message: string
  /** The snapshot whose parent it is. */
  readonly dir: string
  readonly parentId: string
  /** SHA-256 of the parent's header, hexadecimal. */
  readonly parentDigest: string
  /** Each place, and what is there. */
  readonly lookedAt: readonly string[]
}> {
  readonly code = "CRYOVM_PARENT_MISSING"
}

/** A snapshot of the parent's id is there, but it is not what it was when the difference to it was taken. */
export class ParentMismatch extends Data.TaggedError("ParentMismatch")<{
  readonly message: string
  /** The snapshot whose parent it is not. */
  readonly dir: string
  /** The one that was changed or replaced. */
  readonly parentDir: string
  /** SHA-256 of the header, hexadecimal. */
  readonly expectedDigest: string
  readonly actualDigest: string
}> {
  readonly code = "CRYOVM_PARENT_MISMATCH"
}

/** The parent is there, and cannot be read: `cause` tells why. */
export class ParentUnreadable extends Data.TaggedError("ParentUnreadable")<{
  readonly message: string
  readonly dir: string
  readonly parentDir: string
  readonly cause: unknown
}> {
  readonly code = "CRYOVM_PARENT_UNREADABLE"
}

/** A chain has more snapshots, or more runs of changed pages, than are put together. */
export class ChainTooLarge extends Data.TaggedError("ChainTooLarge")<{
  readonly message: string
  readonly dir: string
}> {
  readonly code = "CRYOVM_CHAIN_TOO_LARGE"
}
