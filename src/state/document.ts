/**
 * A component's state as JSON for people and other programs: `{kind, version, state}`. It carries the version of its
 * schema, so that a later release reads it, too.
 */
import * as Data from "effect/Data"
import type { Component } from "./component.ts"
import { encodeMsgpack } from "./msgpack.ts"

/** A text is not the JSON document that it is taken for. */
export class DocumentInvalid extends Data.TaggedError("DocumentInvalid")<{
  readonly message: string
  /** The kind that was expected. */
  readonly kind: string
  readonly cause?: unknown
}> {
  readonly code = "CRYOVM_DOCUMENT_INVALID"
}

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Writes a state that JSON can hold, with a line end. */
export const formatDocument = (component: Pick<Component<never>, "kind" | "version">, state: Fields): string =>
  `${JSON.stringify({ kind: component.kind, version: component.version, state }, undefined, 2)}\n`

/**
 * Reads a state of any known version.
 * @param fromJson turns what JSON cannot hold back into what the schema has
 * @throws DocumentInvalid, StateInvalid, StateVersionUnsupported
 */
export const parseDocument = <T>(
  component: Component<T>,
  text: string,
  fromJson: (state: Fields) => unknown = (state) => state,
): T => {
  const { kind } = component
  const invalid = (why: string, cause?: unknown) =>
    new DocumentInvalid({ message: `this is no ${kind} document: ${why}`, kind, cause })
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (cause) {
    throw invalid("it is not JSON", cause)
  }
  if (!isFields(document)) throw invalid("it is not an object")
  if (document["kind"] !== kind) throw invalid(`its kind is ${JSON.stringify(document["kind"]) ?? "missing"}`)
  const { version, state } = document
  if (typeof version !== "number") throw invalid("it has no version")
  if (!isFields(state)) throw invalid("it has no state")
  // A version that is too new is refused as such before anything in it is looked at.
  if (version > component.version) return component.decode({ version, payload: new Uint8Array(0) })
  let wire: unknown
  try {
    wire = fromJson(state)
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause), cause)
  }
  return component.decode({ version, payload: encodeMsgpack(wire) })
}
