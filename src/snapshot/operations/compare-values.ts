/** Where two decoded states differ, by the path of each field. */

/** A field, or a run of bytes in one, that is not the same in two states. */
export interface FieldDifference {
  /** For example `regs.rip`, `cpuid[3].eax`, or `xsave[512..520]`: bytes 512 to 519. */
  readonly path: string
  /** Its value in the first state; `undefined` where it is not there. */
  readonly a: unknown
  /** Its value in the second one. */
  readonly b: unknown
}

/** Differing bytes that are no further apart than this are told as one run. */
const NEAR_BYTES = 8

const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

function* bytesDifferences(a: Uint8Array, b: Uint8Array, path: string): Generator<FieldDifference> {
  const run = (start: number, end: number): FieldDifference => ({
    path: `${path}[${start}..${end}]`,
    a: a.slice(start, end),
    b: b.slice(start, end),
  })
  let start = -1
  let end = 0
  for (let at = 0; at < a.length; at++) {
    if (a[at] === b[at]) continue
    if (start >= 0 && at - end > NEAR_BYTES) {
      yield run(start, end)
      start = -1
    }
    if (start < 0) start = at
    end = at + 1
  }
  if (start >= 0) yield run(start, end)
}

/** Every field that differs, in the order of the first state. */
export function* valueDifferences(a: unknown, b: unknown, path = ""): Generator<FieldDifference> {
  if (a instanceof Uint8Array && b instanceof Uint8Array && a.length === b.length) {
    yield* bytesDifferences(a, b, path)
  } else if (Array.isArray(a) && Array.isArray(b)) {
    for (let index = 0; index < Math.max(a.length, b.length); index++) {
      yield* valueDifferences(a[index], b[index], `${path}[${index}]`)
    }
  } else if (isFields(a) && isFields(b)) {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      yield* valueDifferences(a[key], b[key], path === "" ? key : `${path}.${key}`)
    }
  } else if (!isSame(a, b)) yield { path, a, b }
}

const isSame = (a: unknown, b: unknown): boolean => {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0
  return Object.is(a, b)
}
