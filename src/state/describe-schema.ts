/**
 * A schema as plain JSON, for freezing: the description of a released version is committed, and a test compares it
 * with what the code says now. Equal schemas give equal text; a changed field, type, bound or check gives another.
 *
 * Effect's own JSON Schema leaves out checks that JSON Schema cannot say, and its representation refuses them; here a
 * check without a stable identity has to have a `description`, which stands for it.
 */
import * as Data from "effect/Data"
import type * as SchemaAST from "effect/SchemaAST"

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** A schema uses something that has no stable description. */
export class SchemaNotDescribable extends Data.TaggedError("SchemaNotDescribable")<{
  readonly message: string
}> {
  readonly code = "CRYOVM_SCHEMA_NOT_DESCRIBABLE"
}

const notDescribable = (what: string, remedy: string) =>
  new SchemaNotDescribable({ message: `a schema with ${what} cannot be described for freezing: ${remedy}` })

/** JSON with keys in order and without `undefined`; a bigint as text with an `n`. */
const normal = (value: unknown): Json => {
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return value
  }
  if (typeof value === "bigint") return `${value}n`
  if (Array.isArray(value)) return value.map(normal)
  const entries = Object.entries(value ?? {}).filter(([, entry]) => entry !== undefined)
  return Object.fromEntries(
    entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, entry]) => [key, normal(entry)] as const),
  )
}

interface Representation {
  readonly id: string
  readonly payload?: unknown
}

/** What Effect's own checks and declarations say of themselves. */
const representationOf = (annotations: unknown): Representation | undefined => {
  const { representation } = (annotations ?? {}) as { readonly representation?: Partial<Representation> }
  return typeof representation?.id === "string" ? (representation as Representation) : undefined
}

const describeCheck = (check: SchemaAST.Check<never>): Json => {
  const representation = representationOf(check.annotations)
  if (representation !== undefined) return normal(representation)
  if (check._tag === "FilterGroup") return check.checks.map(describeCheck)
  const description = check.annotations?.description
  if (typeof description === "string") return description
  throw notDescribable("a check of its own", "give the check a description")
}

const describeNode = (ast: SchemaAST.AST): Record<string, unknown> => {
  switch (ast._tag) {
    case "Null":
    case "Undefined":
    case "Void":
    case "Never":
    case "Unknown":
    case "String":
    case "Number":
    case "Boolean":
    case "BigInt":
      return { type: ast._tag }
    case "Literal":
      return { type: ast._tag, value: ast.literal }
    case "Arrays":
      return { type: ast._tag, elements: ast.elements.map(describeField), rest: ast.rest.map(describe) }
    case "Union":
      return { type: ast._tag, mode: ast.options?.mode, of: ast.types.map(describe) }
    case "Objects":
      return {
        type: ast._tag,
        fields: Object.fromEntries(ast.propertySignatures.map(({ name, type }) => [String(name), describeField(type)])),
        records: ast.indexSignatures.map(({ parameter, type }) => ({
          key: describe(parameter),
          value: describe(type),
        })),
      }
    case "Declaration": {
      const representation = representationOf(ast.annotations)
      if (representation === undefined) throw notDescribable("a declaration of its own", "build it from known types")
      return { type: ast._tag, ...representation, of: ast.typeParameters.map(describe) }
    }
    default:
      throw notDescribable(`a ${ast._tag}`, "state on the wire does not need it")
  }
}

const describe = (ast: SchemaAST.AST): Json =>
  normal({
    ...describeNode(ast),
    checks: ast.checks?.map((check) => describeCheck(check as SchemaAST.Check<never>)),
    // What stands on the wire instead, step by step. The functions in between have no description.
    encodedAs: ast.encoding?.map((link) => describe(link.to)),
  })

const describeField = (ast: SchemaAST.AST): Json => {
  const field = describe(ast)
  const optional = ast.context?.isOptional === true
  return optional ? normal({ ...(field as Readonly<Record<string, Json>>), optional }) : field
}

/**
 * Describes one schema. Not part of it: names, descriptions of fields, order of fields, code of transformations.
 * @throws SchemaNotDescribable
 */
export const describeSchema = (schema: { readonly ast: SchemaAST.AST }): Json => describe(schema.ast)
