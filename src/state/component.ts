/**
 * A component of a snapshot: a kind, and the schema of every version of it ever released.
 *
 * A released version is frozen. What changes gets a further version by {@link Component.evolve}, with a pure step up
 * from the version before and, where nothing is lost, a step down. Reading takes a payload of any version and walks
 * it up to the current one; writing for an older reader walks it down, or says that it cannot.
 *
 * Models: propolis (a payload schema per device and version), QEMU (add, do not break).
 */

import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { decodeMsgpack, encodeMsgpack } from "./msgpack.ts"

/** A component's payload does not fit the schema of the version it claims. */
export class StateInvalid extends Data.TaggedError("StateInvalid")<{
  readonly message: string
  readonly kind: string
  readonly version: number
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_STATE_INVALID"
}

/** A component is of a version that this release does not know. */
export class StateVersionUnsupported extends Data.TaggedError("StateVersionUnsupported")<{
  readonly message: string
  readonly kind: string
  readonly version: number
  readonly supported: readonly number[]
}> {
  readonly code = "CRYOVM_STATE_VERSION_UNSUPPORTED"
}

/** A state cannot be written in an older version without losing something. */
export class StateDowngradeLossy extends Data.TaggedError("StateDowngradeLossy")<{
  readonly message: string
  readonly kind: string
  readonly from: number
  readonly to: number
}> {
  readonly code = "CRYOVM_STATE_DOWNGRADE_LOSSY"
}

/** A schema that needs no services and whose wire form msgpack can hold. */
export type StateSchema<T> = Schema.Codec<T, unknown>

/** A payload with the version of the schema it was written by. */
export interface VersionedPayload {
  readonly version: number
  readonly payload: Uint8Array
}

interface Version {
  readonly schema: StateSchema<unknown>
  readonly up?: (older: never) => unknown
  readonly down?: (newer: never) => unknown
}

const strict = { onExcessProperty: "error", errors: "all" } as const

/** One kind of state with all its versions; `T` is the current one. Made by {@link component}. */
export class Component<T> {
  /** Stable name on the wire. */
  readonly kind: string
  readonly #versions: readonly Version[]

  constructor(kind: string, versions: readonly Version[]) {
    this.kind = kind
    this.#versions = versions
  }

  /** The current version: versions count from 1 without gaps. */
  get version(): number {
    return this.#versions.length
  }

  /** The schema of each version, the first being version 1. */
  get schemas(): readonly StateSchema<unknown>[] {
    return this.#versions.map((version) => version.schema)
  }

  /**
   * Adds the next version.
   * @param up pure step from the version before
   * @param down pure step back, `undefined` for a state that the older version cannot hold without loss; leave it out
   *   where no state can be taken back
   */
  evolve<Next>(
    schema: StateSchema<Next>,
    steps: { readonly up: (older: T) => Next; readonly down?: (newer: Next) => T | undefined },
  ): Component<Next> {
    return new Component<Next>(this.kind, [...this.#versions, { schema, ...steps }])
  }

  /**
   * Writes a state, in the current version unless an older one is asked for.
   * @throws StateInvalid, StateVersionUnsupported, StateDowngradeLossy
   */
  encode(state: T, version = this.version): VersionedPayload {
    this.#known(version)
    let value: unknown = state
    for (let at = this.version; at > version; at--) {
      value = this.#versions[at - 1]?.down?.(value as never)
      if (value === undefined) {
        throw new StateDowngradeLossy({
          message: `${this.kind} state of version ${at} cannot be written as version ${at - 1} without loss`,
          kind: this.kind,
          from: at,
          to: at - 1,
        })
      }
    }
    const encoded = Schema.encodeUnknownExit(this.#schema(version))(value, strict)
    const wire = this.#valueOf(encoded, version)
    return { version, payload: this.#attempt(version, () => encodeMsgpack(wire)) }
  }

  /**
   * Reads a payload of any known version.
   * @throws StateInvalid, StateVersionUnsupported
   */
  decode(stored: VersionedPayload): T {
    this.#known(stored.version)
    const wire = this.#attempt(stored.version, () => decodeMsgpack(stored.payload))
    const decoded = Schema.decodeUnknownExit(this.#schema(stored.version))(wire, strict)
    let value = this.#valueOf(decoded, stored.version)
    if (stored.version === this.version) return value as T
    for (let next = stored.version; next < this.version; next++) {
      value = this.#attempt(stored.version, () => this.#versions[next]?.up?.(value as never))
    }
    // An older schema may have let through what the current one would not.
    const migrated = Schema.decodeUnknownExit(Schema.toType(this.#schema(this.version)))(value, strict)
    return this.#valueOf(migrated, stored.version) as T
  }

  #attempt<A>(version: number, body: () => A): A {
    try {
      return body()
    } catch (cause) {
      throw this.#invalid(version, cause instanceof Error ? cause.message : String(cause), cause)
    }
  }

  #schema(version: number): StateSchema<unknown> {
    return this.#versions[version - 1]?.schema as StateSchema<unknown>
  }

  #known(version: number): void {
    if (Number.isInteger(version) && version >= 1 && version <= this.version) return
    throw new StateVersionUnsupported({
      message: `${this.kind} state is of version ${version}; this release knows 1 to ${this.version}`,
      kind: this.kind,
      version,
      supported: this.#versions.map((_, index) => index + 1),
    })
  }

  #valueOf<A>(exit: Exit.Exit<A, Schema.SchemaError>, version: number): A {
    if (Exit.isSuccess(exit)) return exit.value
    const cause = Cause.squash(exit.cause)
    throw this.#invalid(version, cause instanceof Error ? cause.message : String(cause), cause)
  }

  #invalid(version: number, reason: string, cause: unknown): StateInvalid {
    return new StateInvalid({
      message: `${this.kind} state of version ${version} is not valid: ${reason}`,
      kind: this.kind,
      version,
      cause,
    })
  }
}

/** Starts a component with the schema of its version 1. */
export const component = <T>(kind: string, schema: StateSchema<T>): Component<T> => new Component<T>(kind, [{ schema }])
