/** The parent of a diff: opened and held against the machine, and how the pages that changed since then are found. */
import { realpath } from "node:fs/promises"
import { basename, dirname, resolve } from "node:path"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { GuestRange } from "../../memory/guest-memory.ts"
import { mapMemories } from "../../memory/map-memory.ts"
import { loadNative, type NativeMemory } from "../../native.ts"
import type { Manifest } from "../../state/manifest.ts"
import { type Chain, type ChainOptions, openChain } from "../chain/chain.ts"
import { ChainTooLarge } from "../chain/errors.ts"
import { MAXIMUM_LINKS } from "../chain/walk-chain.ts"
import { RUN_NUMBERS } from "../runs/runs.ts"
import type { ChangeSearch, MemoryHistory } from "./memory-history.ts"
import type { SnapshotOptions } from "./snapshot-options.ts"

/** Options of a snapshot that are not what they can be, or contradict each other. */
export class SnapshotOptionsInvalid extends Data.TaggedError("SnapshotOptionsInvalid")<{
  readonly message: string
  readonly field: string
}> {
  readonly code = "CRYOVM_SNAPSHOT_OPTIONS_INVALID"
}

/** A diff was asked for to a snapshot of a machine with other memory. */
export class ParentOfOtherMachine extends Data.TaggedError("ParentOfOtherMachine")<{
  readonly message: string
  readonly parentDir: string
}> {
  readonly code = "CRYOVM_PARENT_OF_OTHER_MACHINE"
}

export interface Parent {
  /** Absolute path. */
  readonly dir: string
  /** As a child's manifest names it. */
  readonly reference: NonNullable<Manifest["parent"]>
  /** It and what it is a difference to, the full snapshot first. */
  readonly links: Chain["links"]
  /** Its memory, to be mapped. */
  readonly memories: Chain["memories"]
  readonly regions: readonly GuestRange[]
  /** How many runs its chain has in all. */
  readonly runs: number
}

/** How the pages that changed since a parent are found. */
export interface Changes extends ChangeSearch {
  /** The parent's memory, one mapping a region, where the search is for what differs from it. */
  readonly baselines: readonly NativeMemory[]
}

const optionsInvalid = (field: string, what: string) =>
  new SnapshotOptionsInvalid({ message: `the options of the snapshot are not valid: ${field}: ${what}`, field })

/** The directory of the parent; `undefined` for a full snapshot. Options may come from where no types are. */
const parentOf = (options: SnapshotOptions): Effect.Effect<string | undefined, SnapshotOptionsInvalid> => {
  const { type = "full", parent } = options as { readonly type?: unknown; readonly parent?: unknown }
  if (type !== "full" && type !== "diff") return Effect.fail(optionsInvalid("type", `expected "full" or "diff"`))
  if (type === "full") {
    return parent === undefined
      ? Effect.succeed(undefined)
      : Effect.fail(optionsInvalid("parent", `a full snapshot has none; leave it out, or ask for type "diff"`))
  }
  return typeof parent === "string" && parent !== ""
    ? Effect.succeed(resolve(parent))
    : Effect.fail(optionsInvalid("parent", "expected the directory of the snapshot that the diff is a difference to"))
}

const describe = (regions: readonly GuestRange[]): string =>
  regions.map(({ guestAddress, size }) => `${size} bytes at 0x${guestAddress.toString(16)}`).join(", ")

/** Where a path leads, if anything is there. */
const placeOf = (path: string): Effect.Effect<string | undefined> =>
  Effect.promise(() => realpath(path).catch(() => undefined))

/**
 * A snapshot that replaced its own parent, or one further up, could never be restored; nor may what something new is made
 * of be replaced by it.
 * @param field of the options that says where it goes
 */
export const checkPlace = (field: string, dir: string, needed: readonly { readonly dir: string }[]) =>
  Effect.gen(function* () {
    const place = yield* placeOf(dir)
    if (place === undefined) return
    for (const member of needed) {
      if ((yield* placeOf(member.dir)) !== place) continue
      return yield* optionsInvalid(field, `${dir} is a snapshot that this needs; write it to another directory`)
    }
  })

/**
 * Opens what a diff is to be a difference to, as long as the scope lasts.
 * @param child where the diff goes: an absolute path, as `dir` is
 */
export const openParentAt = (dir: string, child: string, options: ChainOptions) =>
  Effect.gen(function* () {
    const { links, memories } = yield* openChain(dir, options)
    if (links.length >= MAXIMUM_LINKS) {
      return yield* new ChainTooLarge({
        message: `the chain of ${dir} has ${links.length} snapshots, and no more can be restored: take a full snapshot`,
        dir,
      })
    }
    const { manifest, header } = links.at(-1)!
    const name = dirname(child) === dirname(dir) ? { name: basename(dir) } : {}
    return {
      dir,
      reference: { id: manifest.id, digest: header.digest, ...name },
      links,
      memories,
      regions: manifest.memory.regions,
      runs: links.reduce((total, { runs }) => total + (runs?.length ?? 0) / RUN_NUMBERS, 0),
    } satisfies Parent
  })

/** Opens what a diff is asked to be a difference to, as long as the scope lasts. Gives `undefined` for a full snapshot. */
export const openParent = (options: SnapshotOptions) =>
  Effect.gen(function* () {
    const dir = yield* parentOf(options)
    if (dir === undefined) return undefined
    const child = resolve(options.dir)
    const parent = yield* openParentAt(dir, child, options.type === "diff" ? options : {})
    yield* checkPlace("dir", child, parent.links)
    return parent
  })

/** Fails where a parent is of a machine with other memory. */
export const checkRegions = (
  { dir, regions }: Pick<Parent, "dir" | "regions">,
  wanted: readonly GuestRange[],
): Effect.Effect<void, ParentOfOtherMachine> => {
  const [theirs, ours] = [describe(regions), describe(wanted)]
  if (theirs === ours) return Effect.void
  const message = `${dir} is of a machine with other memory (${theirs}; this one has ${ours}): take a full snapshot, or name one of this machine`
  return Effect.fail(new ParentOfOtherMachine({ message, parentDir: dir }))
}

/** How what changed in a machine's memory since the parent is found; its baselines go with the scope. */
export const findChanges = (
  parent: Parent,
  memory: { readonly regions: readonly GuestRange[] },
  history: MemoryHistory,
) =>
  Effect.gen(function* () {
    yield* checkRegions(parent, memory.regions)
    const search = history.changesSince(parent.reference.digest)
    const baselines = search.tracking === "compare" ? yield* mapMemories(loadNative(), parent.memories) : []
    return { ...search, baselines } satisfies Changes
  })

/** Why a parent will not do. */
export type ParentError = Effect.Error<ReturnType<typeof openParent> | ReturnType<typeof findChanges>>
