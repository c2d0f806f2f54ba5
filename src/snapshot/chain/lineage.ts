/** The snapshots in a folder as a forest: which is a difference to which. */
import { readdir, stat } from "node:fs/promises"
import { basename, join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { type AbortOptions, run } from "../../promise.ts"
import type { ParentReference } from "../../state/envelope.ts"
import {
  readHead,
  type SnapshotHead,
  type SnapshotReadFailed,
  STATE_FILE,
  type StateReadError,
} from "../bundle/bundle.ts"
import type { SnapshotProblem } from "../problem.ts"
import { type Place, placeAll } from "./forest.ts"
import { readShelf, type ShelfEntry } from "./shelf.ts"

/** One snapshot of a folder, with those that are differences to it. What cannot be told of it is `null`. */
export interface LineageNode {
  /** Absolute path. */
  readonly dir: string
  readonly id: string | null
  /** SHA-256 of its header, hexadecimal: what its children name it by. */
  readonly digest: string | null
  readonly type: "full" | "diff" | null
  /** The snapshot that it is a difference to. */
  readonly parent: ParentReference | null
  /** ISO 8601, UTC. */
  readonly createdAt: string | null
  readonly label: string | null
  /** Of its state file; may be one that this release cannot read. */
  readonly formatVersion: number | null
  /** Bytes of disk that its state file takes, and all else of it. */
  readonly diskBytes: { readonly state: number; readonly memory: number }
  /** Bytes of the guest's memory. */
  readonly memoryBytes: number | null
  /** The oldest first. */
  readonly children: readonly LineageNode[]
  /** Why it is at the top though it is no full snapshot, or why not all can be told of it. */
  readonly problem?: SnapshotProblem
}

const STAT_BLOCK = 512

/** Of all files in a directory; what cannot be looked at counts for nothing. */
const diskBytesOf = async (dir: string): Promise<LineageNode["diskBytes"]> => {
  const bytes = { state: 0, memory: 0 }
  for (const name of await readdir(dir).catch((): string[] => [])) {
    bytes[name === STATE_FILE ? "state" : "memory"] += await stat(join(dir, name)).then(
      ({ blocks }) => blocks * STAT_BLOCK,
      () => 0,
    )
  }
  return bytes
}

/** One snapshot by itself. */
type Described = Omit<LineageNode, "children">

interface Found {
  readonly node: Described
  /** What its parent's directory was called. */
  readonly parentName: string | undefined
}

const unreadable = (entry: ShelfEntry, { code, message }: StateReadError): SnapshotProblem => ({
  part: Result.isSuccess(entry.header) ? "manifest" : "state file",
  code,
  message,
})

const fromManifest = ({ header, manifest }: SnapshotHead) => ({
  id: manifest.id.toLowerCase(),
  digest: header.digest,
  type: manifest.type,
  parent: manifest.parent && { id: manifest.parent.id.toLowerCase(), digest: manifest.parent.digest },
  createdAt: manifest.createdAt,
  label: manifest.machine.label ?? null,
  formatVersion: header.formatVersion,
  memoryBytes: manifest.machine.memoryBytes,
})

/** What the header alone tells; older formats do not tell of what lineage they are. */
const fromHeader = ({ header }: ShelfEntry) => {
  const { digest = null, formatVersion = null, lineage } = Result.isSuccess(header) ? header.success : {}
  const type = lineage === undefined ? null : lineage.parent === null ? ("full" as const) : ("diff" as const)
  const unknown = { createdAt: null, label: null, memoryBytes: null }
  return { ...unknown, id: lineage?.id ?? null, digest, type, parent: lineage?.parent ?? null, formatVersion }
}

const describe = (entry: ShelfEntry): Effect.Effect<Found> =>
  Effect.gen(function* () {
    const { dir } = entry
    const head = yield* Effect.result(readHead(dir))
    const diskBytes = yield* Effect.promise(() => diskBytesOf(dir))
    if (Result.isFailure(head)) {
      const problem = unreadable(entry, head.failure)
      return { node: { dir, ...fromHeader(entry), diskBytes, problem }, parentName: undefined }
    }
    const { success } = head
    return { node: { dir, ...fromManifest(success), diskBytes }, parentName: success.manifest.parent?.name }
  })

const parentMissing = ({ parent }: Described, byId: ReadonlyMap<string | null, Described>): SnapshotProblem => {
  const changed = parent === null ? undefined : byId.get(parent.id)
  if (changed === undefined) {
    const message = `its parent, snapshot ${parent?.id}, is not in this folder`
    return { part: "parent", code: "CRYOVM_PARENT_MISSING", message }
  }
  const message = `its parent, snapshot ${parent?.id}, was changed or replaced since: ${changed.dir} is another one`
  return { part: "parent", code: "CRYOVM_PARENT_MISMATCH", message }
}

const chainTooLong: SnapshotProblem = {
  part: "parent",
  code: "CRYOVM_CHAIN_TOO_LARGE",
  message: "its parents are more than a chain can have: it is shown without them",
}

/** ISO times are in order as texts; those of which it is not known come last. */
const orderOf = ({ createdAt, dir }: LineageNode): string => `${createdAt ?? "~"} ${dir}`

const inOrder = (a: LineageNode, b: LineageNode): number => (orderOf(a) < orderOf(b) ? -1 : 1)

const misplaced = (
  node: Described,
  place: Place,
  byId: ReadonlyMap<string | null, Described>,
): SnapshotProblem | undefined => {
  if ("under" in place || place.top === "full") return undefined
  return place.top === "chain too long" ? chainTooLong : parentMissing(node, byId)
}

/** Every snapshot once, under its parent or at the top. */
const buildForest = (found: readonly Found[]): readonly LineageNode[] => {
  const described = found.map(({ node }) => node)
  const places = placeAll(
    found.map(({ node: { digest, parent, dir }, parentName }) => ({
      digest,
      parent: parent && { digest: parent.digest, name: parentName },
      name: basename(dir),
    })),
  )
  const byId = new Map(described.map((node) => [node.id, node]))
  const top: LineageNode[] = []
  const children = described.map((): LineageNode[] => [])
  for (const [index, place] of places.entries()) {
    const node = described[index] as Described
    const problem = node.problem ?? misplaced(node, place, byId)
    const siblings = "under" in place ? (children[place.under] as LineageNode[]) : top
    siblings.push({ ...node, children: children[index] as LineageNode[], ...(problem && { problem }) })
  }
  for (const siblings of [top, ...children]) siblings.sort(inOrder)
  return top
}

/** Manifests read at once, each of at most 16 MiB. */
const CONCURRENCY = 8

/**
 * All snapshots in a folder, each once: under the one that it is a difference to, or at the top. Of each, header and
 * manifest are read, and of those of a newer format the header alone. Those that cannot be read are told of, too.
 */
export const readLineage = (folder: string): Effect.Effect<readonly LineageNode[], SnapshotReadFailed> =>
  Effect.gen(function* () {
    const entries = yield* readShelf(resolve(folder))
    return buildForest(yield* Effect.forEach(entries, describe, { concurrency: CONCURRENCY }))
  })

/** {@link readLineage} as a Promise. @throws SnapshotReadFailed where the folder cannot be read */
export const snapshotLineage = (folder: string, options?: AbortOptions): Promise<readonly LineageNode[]> =>
  run(readLineage(folder), options)
