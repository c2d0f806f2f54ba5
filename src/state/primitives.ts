/**
 * The value types that state may hold on the wire, and how they are checked.
 *
 * A small 64-bit integer read from msgpack comes back as a `number`, a large one as a `bigint`; {@link U64} takes both
 * and always gives a `bigint`. Bytes are `Uint8Array` and nothing else.
 */
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

const unsigned = (bits: number) =>
  Schema.Int.check(
    Schema.isBetween(
      { minimum: 0, maximum: 2 ** bits - 1 },
      { description: `an unsigned integer of ${bits} bits`, message: `expected an unsigned integer of ${bits} bits` },
    ),
  )

export const U8 = unsigned(8)
export const U16 = unsigned(16)
export const U32 = unsigned(32)

/** A non-negative integer that a JavaScript number holds exactly: sizes, offsets and addresses below 2^53. */
export const SafeUnsigned = unsigned(53)

const MAX_U64 = (1n << 64n) - 1n

const U64Value = Schema.BigInt.check(
  Schema.makeFilter((value: bigint) => (value >= 0n && value <= MAX_U64) || "expected an unsigned integer of 64 bits", {
    description: "an unsigned integer of 64 bits",
  }),
)

/** 64-bit unsigned integer: always a `bigint` in memory, eight bytes on the wire. */
export const U64 = Schema.Union([Schema.BigInt, Schema.Int]).pipe(
  Schema.decodeTo(U64Value, {
    decode: SchemaGetter.transform((value: bigint | number) => BigInt(value)),
    encode: SchemaGetter.passthrough(),
  }),
)

/** Any number of bytes. */
export const Bytes = Schema.Uint8Array

/** Exactly `length` bytes. */
export const FixedBytes = (length: number) =>
  Schema.Uint8Array.check(
    Schema.makeFilter(
      (value: Uint8Array) => value.length === length || `expected ${length} bytes, got ${value.length}`,
      {
        description: `${length} bytes`,
      },
    ),
  )

/** At most `maximum` bytes. */
export const BoundedBytes = (maximum: number) =>
  Schema.Uint8Array.check(
    Schema.makeFilter(
      (value: Uint8Array) => value.length <= maximum || `expected at most ${maximum} bytes, got ${value.length}`,
      { description: `at most ${maximum} bytes` },
    ),
  )
