import * as Schema from "effect/Schema"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { describeSchema, SchemaNotDescribable } from "../../src/state/describe-schema.ts"
import { BoundedBytes, Bytes, FixedBytes, U8, U16, U32, U64 } from "../../src/state/primitives.ts"
import { thrownBy } from "./samples.ts"

const text = (schema: Schema.Top) => JSON.stringify(describeSchema(schema))

test("the order of fields does not matter, nor where the schema was made", () => {
  assert.is(text(Schema.Struct({ a: U8, b: U64 })), text(Schema.Struct({ b: U64, a: U8 })))
})

test("schemas that differ in anything the wire shows are described differently", () => {
  const schemas: Schema.Top[] = [
    U8,
    U16,
    U32,
    U64,
    Bytes,
    FixedBytes(4),
    FixedBytes(5),
    BoundedBytes(4),
    Schema.Int,
    Schema.Finite,
    Schema.String,
    Schema.String.check(Schema.isPattern(/a/)),
    Schema.String.check(Schema.isPattern(/b/)),
    Schema.String.check(Schema.isPattern(/a/i)),
    Schema.Literal("a"),
    Schema.Literal(1),
    Schema.Literal("1"),
    Schema.Literals(["a", "b"]),
    Schema.NullOr(U8),
    Schema.Array(U8),
    Schema.Array(U8).check(Schema.isMaxLength(3)),
    Schema.Tuple([U8, U8]),
    Schema.Struct({}),
    Schema.Struct({ a: U8 }),
    Schema.Struct({ a: Schema.optionalKey(U8) }),
    Schema.Struct({ b: U8 }),
    Schema.Struct({ a: U8, b: U8 }),
    Schema.Record(Schema.String, U8),
    Schema.Record(Schema.String, U16),
    Schema.Record(Schema.String.check(Schema.isNonEmpty()), U8),
    Schema.TaggedStruct("a", {}),
  ]
  assert.is(new Set(schemas.map(text)).size, schemas.length)
})

test("a check that nothing stands for is refused", () => {
  const schema = Schema.String.check(Schema.makeFilter((value: string) => value.length === 3))
  assert.instance(
    thrownBy(() => describeSchema(schema)),
    SchemaNotDescribable,
  )
})

test.run()
