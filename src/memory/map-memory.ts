/**
 * Mappings of guest memory whose life is a scope.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type KvmError, type NativeAddon, type NativeMemory, type NativeMemorySource, toKvmError } from "../native.ts"

/** One mapping for each size; all go with the scope. */
export const mapMemories = (
  native: NativeAddon,
  wanted: readonly { readonly size: number; readonly source: NativeMemorySource }[],
): Effect.Effect<readonly NativeMemory[], KvmError, Scope.Scope> =>
  Effect.forEach(wanted, ({ size, source }) =>
    Effect.acquireRelease(Effect.try({ try: () => native.mapMemory(size, source), catch: toKvmError }), (memory) =>
      Effect.sync(() => memory.close()),
    ),
  )
