/** What is true, on this host, of a snapshot's files and of the files that it needs. */
import { stat } from "node:fs/promises"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import type { SnapshotHead } from "../bundle/bundle.ts"
import { type ChainOptions, type WalkError, walkChain } from "../chain/walk-chain.ts"
import { type FileFact, factOf } from "../restore/file-fact.ts"
import { lookAtResources, type ResourceFindings, type ResourceOptions } from "../restore/resources.ts"

/** A memory file, and what it should be. */
export interface MemoryFileFact {
  readonly name: string
  readonly expectedBytes: number
  readonly found: FileFact
}

export interface SnapshotFacts {
  readonly memoryFile: FileFact
  readonly resources: ResourceFindings
  /** Of the parent, of its parent, and so on, as far as they are there. */
  readonly parents: readonly MemoryFileFact[]
  /** Why the chain does not reach a full snapshot; `undefined` where it does. */
  readonly chainEnd: WalkError | undefined
}

const lookAt = (path: string): Promise<FileFact> =>
  stat(path).then(
    factOf,
    // One that may not be looked at is none that can be used.
    () => "missing" as const,
  )

const memoryFileOf = async ({ dir, manifest }: SnapshotHead): Promise<MemoryFileFact> => {
  const { name, size } = manifest.memory.file
  const path = join(dir, name)
  return { name: path, expectedBytes: size, found: await lookAt(path) }
}

/** @param options where the parents of a diff snapshot are looked for, and where its resources are */
export const gatherFacts = (
  head: SnapshotHead,
  options?: ChainOptions & ResourceOptions,
): Effect.Effect<SnapshotFacts> =>
  Effect.gen(function* () {
    const resources = yield* lookAtResources(head.manifest.resources, options)
    const { heads, end } = yield* walkChain(head, options)
    const [own, ...parents] = yield* Effect.promise(() => Promise.all(heads.map(memoryFileOf)))
    return { memoryFile: own?.found ?? "missing", resources, parents, chainEnd: end }
  })
