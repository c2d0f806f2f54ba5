/**
 * C structures of the KVM API, declared once: from the declaration come the reader, the writer and the wire schema.
 *
 * Members have the kernel's names in camel case and the kernel's order; x86-64 is little endian and the declarations
 * spell out every padding. A reserved member is not part of the value: it is written as zero, and bytes where it is not
 * zero are refused, because they mean something that this release would lose.
 */
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"
import type { StateSchema } from "../../state/component.ts"
import { FixedBytes, U8, U16, U32, U64 } from "../../state/primitives.ts"

/** Bytes are not the KVM structure that they are taken for. */
export class KvmStructureInvalid extends Data.TaggedError("KvmStructureInvalid")<{
  readonly message: string
  /** Name of the structure in `linux/kvm.h`. */
  readonly structure: string
}> {
  readonly code = "CRYOVM_KVM_STRUCTURE_INVALID"
}

/** One member: how many bytes it takes, and how they are read and written. */
export interface Member<T> {
  readonly size: number
  readonly schema: StateSchema<T>
  read(view: DataView, offset: number): T
  write(view: DataView, offset: number, value: T): void
}

/** Bytes that mean nothing yet and have to be zero. */
export interface Reserved {
  readonly reserved: number
}

export const u8: Member<number> = {
  size: 1,
  schema: U8,
  read: (view, offset) => view.getUint8(offset),
  write: (view, offset, value) => view.setUint8(offset, value),
}

export const u16: Member<number> = {
  size: 2,
  schema: U16,
  read: (view, offset) => view.getUint16(offset, true),
  write: (view, offset, value) => view.setUint16(offset, value, true),
}

export const u32: Member<number> = {
  size: 4,
  schema: U32,
  read: (view, offset) => view.getUint32(offset, true),
  write: (view, offset, value) => view.setUint32(offset, value, true),
}

export const u64: Member<bigint> = {
  size: 8,
  schema: U64,
  read: (view, offset) => view.getBigUint64(offset, true),
  write: (view, offset, value) => view.setBigUint64(offset, value, true),
}

/** `length` bytes without a meaning of their own here. */
export const bytes = (length: number): Member<Uint8Array> => ({
  size: length,
  schema: FixedBytes(length),
  read: (view, offset) => new Uint8Array(view.buffer, view.byteOffset + offset, length).slice(),
  write: (view, offset, value) => new Uint8Array(view.buffer, view.byteOffset + offset, length).set(value),
})

/** `length` members of the same kind, one after the other. */
export const array = <T>(member: Member<T>, length: number): Member<readonly T[]> => ({
  size: member.size * length,
  schema: Schema.Array(member.schema).check(
    Schema.makeFilter(
      (value: readonly T[]) => value.length === length || `expected ${length} entries, got ${value.length}`,
      { description: `${length} entries` },
    ),
  ),
  read: (view, offset) => Array.from({ length }, (_, index) => member.read(view, offset + index * member.size)),
  write: (view, offset, value) => {
    value.forEach((entry, index) => {
      member.write(view, offset + index * member.size, entry)
    })
  },
})

export const reserved = (length: number): Reserved => ({ reserved: length })

// biome-ignore lint/suspicious/noExplicitAny: members of every type are declared together
type Members = Readonly<Record<string, Member<any> | Reserved>>

type ValueOf<M extends Members> = {
  readonly [K in keyof M as M[K] extends Reserved ? never : K]: M[K] extends Member<infer T> ? T : never
}

/** A whole structure; it may be a member of another. */
export interface Structure<T> extends Member<T> {
  /** @throws KvmStructureInvalid */
  decode(bytes: Uint8Array): T
  /** In a buffer of its own. */
  encode(value: T): Uint8Array
  /** An array of as many structures as the bytes hold. @throws KvmStructureInvalid */
  decodeAll(bytes: Uint8Array): readonly T[]
  encodeAll(values: readonly T[]): Uint8Array
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** Declares a structure of the kernel's `name` from its members in order. */
export const structure = <const M extends Members>(name: string, members: M): Structure<ValueOf<M>> => {
  type T = ValueOf<M>
  const named: { readonly key: string; readonly at: number; readonly member: Member<unknown> }[] = []
  const gaps: { readonly at: number; readonly length: number }[] = []
  let size = 0
  for (const [key, member] of Object.entries(members)) {
    if ("reserved" in member) {
      gaps.push({ at: size, length: member.reserved })
      size += member.reserved
    } else {
      named.push({ key, at: size, member })
      size += member.size
    }
  }

  const invalid = (problem: string): KvmStructureInvalid =>
    new KvmStructureInvalid({
      message: `struct ${name}: ${problem}; a newer kernel may need a newer cryovm`,
      structure: name,
    })

  const read = (view: DataView, offset: number): T => {
    for (const gap of gaps) {
      for (let at = gap.at; at < gap.at + gap.length; at++) {
        if (view.getUint8(offset + at) !== 0) throw invalid(`reserved byte ${at} is not zero`)
      }
    }
    const value: Record<string, unknown> = {}
    for (const { key, at, member } of named) value[key] = member.read(view, offset + at)
    return value as T
  }
  const write = (view: DataView, offset: number, value: T): void => {
    for (const { key, at, member } of named) {
      member.write(view, offset + at, (value as Readonly<Record<string, unknown>>)[key])
    }
  }

  return {
    size,
    schema: Schema.Struct(
      Object.fromEntries(named.map(({ key, member }) => [key, member.schema])),
    ) as unknown as StateSchema<T>,
    read,
    write,
    decode: (bytes) => {
      if (bytes.length !== size) throw invalid(`expected ${size} bytes, got ${bytes.length}`)
      return read(viewOf(bytes), 0)
    },
    encode: (value) => {
      const bytes = new Uint8Array(size)
      write(viewOf(bytes), 0, value)
      return bytes
    },
    decodeAll: (bytes) => {
      if (bytes.length % size !== 0) throw invalid(`expected a multiple of ${size} bytes, got ${bytes.length}`)
      const view = viewOf(bytes)
      return Array.from({ length: bytes.length / size }, (_, index) => read(view, index * size))
    },
    encodeAll: (values) => {
      const bytes = new Uint8Array(values.length * size)
      const view = viewOf(bytes)
      values.forEach((value, index) => {
        write(view, index * size, value)
      })
      return bytes
    },
  }
}

/** The value type of a structure. */
export type Value<S> = S extends Structure<infer T> ? T : never
