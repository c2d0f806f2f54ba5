/**
 * A snapshot with all that it is a difference to, opened for mapping: every memory file, and the runs of all layers put
 * together.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { NativeMemorySource, NativeRuns } from "../../native.ts"
import {
  type MemoryFileInvalid,
  openMemoryFile,
  readHead,
  type SnapshotHead,
  type SnapshotReadFailed,
  type StateReadError,
} from "../bundle/bundle.ts"
import { composeRuns, runsWithin } from "../runs/compose-runs.ts"
import { MAXIMUM_RUNS, type MemoryDiffInvalid } from "../runs/memory-diff.ts"
import { readRunTable } from "../runs/run-table.ts"
import { RUN_NUMBERS, ZEROS } from "../runs/runs.ts"
import { ChainTooLarge } from "./errors.ts"
import { type ChainOptions, type WalkError, walkChain } from "./walk-chain.ts"

export type { ChainOptions } from "./walk-chain.ts"

/** One snapshot of a chain. */
export interface ChainLink extends SnapshotHead {
  /** Of its memory file, open for reading; closed with the scope. */
  readonly fd: number
  /** What a diff changed in flat memory; `undefined` of a full snapshot. */
  readonly runs: NativeRuns | undefined
}

/** One mapping of guest memory to be made. */
export interface MemoryToMap {
  /** Bytes. */
  readonly size: number
  readonly source: NativeMemorySource
}

export interface Chain {
  /** The full snapshot first, the opened one last. */
  readonly links: readonly ChainLink[]
  /** One a region of guest memory. */
  readonly memories: readonly MemoryToMap[]
}

/** Why a chain cannot be opened, its newest snapshot having been read. */
export type ChainError = WalkError | MemoryFileInvalid | MemoryDiffInvalid | SnapshotReadFailed

const openLink = (head: SnapshotHead): Effect.Effect<ChainLink, ChainError, Scope.Scope> =>
  Effect.gen(function* () {
    const fd = yield* openMemoryFile(head.dir, head.manifest)
    const runs = yield* readRunTable(head, fd)
    return { ...head, fd, runs }
  })

const tooManyRuns = (dir: string) =>
  new ChainTooLarge({
    message: `the chain of ${dir} has more than ${MAXIMUM_RUNS} runs of changed pages: flatten it where it was taken`,
    dir,
  })

const LINKS_AT_ONCE = 8

/** Opens what was found, the newest first. */
const openLinks = (
  dir: string,
  heads: readonly SnapshotHead[],
): Effect.Effect<readonly ChainLink[], ChainError, Scope.Scope> =>
  Effect.gen(function* () {
    const runs = heads.reduce((sum, { manifest }) => sum + (manifest.memory.diff?.runs ?? 0), 0)
    if (runs > MAXIMUM_RUNS) return yield* tooManyRuns(dir)
    // Side by side: each waits for the disk, or at least for Node's threads, several times.
    const links = yield* Effect.forEach(heads, openLink, { concurrency: LINKS_AT_ONCE })
    return links.reverse()
  })

/** The files that runs are of, and the runs by their numbers among those: each file stays open as long as the mapping. */
const laidFiles = (runs: NativeRuns, fds: readonly number[]): { readonly fds: number[]; readonly runs: NativeRuns } => {
  const numbers = new Int32Array(fds.length).fill(ZEROS)
  const used: number[] = []
  for (let at = 2; at < runs.length; at += RUN_NUMBERS) {
    const file = runs[at] as number
    if (file === ZEROS) continue
    if (numbers[file] === ZEROS) numbers[file] = used.push(fds[file] as number) - 1
    runs[at] = numbers[file] as number
  }
  return { fds: used, runs }
}

const memoriesOf = (base: ChainLink, layers: readonly ChainLink[]): readonly MemoryToMap[] => {
  const composed = composeRuns(layers.map(({ runs }) => runs ?? new Float64Array(0)))
  const fds = layers.map(({ fd }) => fd)
  return base.manifest.memory.regions.map(({ size, fileOffset }) => {
    const laid = laidFiles(runsWithin(composed, fileOffset, size), fds)
    const source = { kind: "file", fd: base.fd, offset: fileOffset } as const
    return { size, source: laid.runs.length === 0 ? source : { ...source, laid } }
  })
}

/**
 * Opens the chain of a snapshot of which header and manifest were read. Parents are found by {@link walkChain}; their
 * states are not read, only headers, manifests and tables of runs.
 */
export const openChainOf = (
  newest: SnapshotHead,
  options?: ChainOptions,
): Effect.Effect<Chain, ChainError, Scope.Scope> =>
  Effect.gen(function* () {
    const { heads, end } = yield* walkChain(newest, options)
    if (end !== undefined) return yield* end
    const links = yield* openLinks(newest.dir, heads)
    const [base, ...layers] = links as [ChainLink, ...ChainLink[]]
    return { links, memories: memoriesOf(base, layers) }
  })

/** {@link openChainOf} of the snapshot in a directory. */
export const openChain = (
  dir: string,
  options?: ChainOptions,
): Effect.Effect<Chain, ChainError | StateReadError, Scope.Scope> =>
  Effect.flatMap(readHead(dir), (newest) => openChainOf(newest, options))
