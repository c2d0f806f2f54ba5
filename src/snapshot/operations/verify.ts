/**
 * Finds damage in a snapshot on disk, and in those that it is a difference to: every bit of both files is held against
 * its digest, and everything that can be decoded is.
 */
import { join, resolve } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { KvmError } from "../../native.ts"
import type { StateVersionUnsupported } from "../../state/component.ts"
import type { StateFormatTooNew } from "../../state/envelope-errors.ts"
import type { MemoryDigests } from "../../state/memory-digests.ts"
import {
  openMemoryFile,
  readHead,
  readStateBytes,
  type SnapshotHead,
  type SnapshotNotFound,
  type SnapshotReadFailed,
} from "../bundle/bundle.ts"
import type { ChainOptions } from "../chain/chain.ts"
import { type Walk, walkChain } from "../chain/walk-chain.ts"
import {
  type LinkVerification,
  type SnapshotDamaged,
  type SnapshotPart,
  type SnapshotProblem,
  snapshotDamaged,
} from "../problem.ts"
import { type OnProgress, type StepProgress, stepProgress } from "../progress.ts"
import { inconsistent } from "../restore/open.ts"
import { readRunTable } from "../runs/run-table.ts"
import { type CheckedState, checkState, nothingLeft } from "./check-state.ts"
import { verifyMemory } from "./verify-memory.ts"

export interface VerifyOptions extends ChainOptions {
  /** Also check every snapshot that it is a difference to, up to the full one. True without it. */
  readonly chain?: boolean
  /** Called about twenty times a second while memory files are read. */
  readonly onProgress?: OnProgress
}

export interface SnapshotVerification {
  /** No damage was found, in any of them. */
  readonly ok: boolean
  /** The snapshot that was asked for, then its parent, and so on. */
  readonly links: readonly LinkVerification[]
}

/** Why nothing can be told: damage is a result, not one of these. */
export type VerifyError = SnapshotNotFound | SnapshotReadFailed | StateFormatTooNew | StateVersionUnsupported | KvmError

/** One whose state was looked at. */
interface Examined extends CheckedState {
  readonly dir: string
  /** Size of the state file. */
  readonly stateBytes: number
}

const problemOf = (part: SnapshotPart, { code, message }: { readonly code: string; readonly message: string }) =>
  ({ part, code, message }) satisfies SnapshotProblem

/** What is no damage is told as an error of its own. */
const checking = (bytes: Uint8Array): Effect.Effect<CheckedState, StateFormatTooNew | StateVersionUnsupported> =>
  Effect.try({
    try: () => checkState(bytes),
    catch: (error) => error as StateFormatTooNew | StateVersionUnsupported,
  })

/** Parts that are whole, and contradict each other. */
const contradictions = (dir: string, { manifest, machine }: CheckedState): readonly SnapshotProblem[] => {
  const problem = manifest && machine && inconsistent(dir, manifest, machine)
  return problem === undefined ? [] : [problemOf("manifest", problem)]
}

const examine = (dir: string): Effect.Effect<Examined, VerifyError> =>
  readStateBytes(dir).pipe(
    Effect.flatMap((bytes) =>
      Effect.map(checking(bytes), (state) => {
        const problems = [...state.problems, ...contradictions(dir, state)]
        return { ...state, problems, dir, stateBytes: bytes.length }
      }),
    ),
    Effect.catchTag(["SnapshotIncomplete", "StateNotCryovm", "StateTooLarge"], (error) =>
      Effect.succeed({ ...nothingLeft, problems: [problemOf("state file", error)], dir, stateBytes: 0 }),
    ),
  )

/** Snapshots to be looked at, and what ends their chain too early. */
interface Plan {
  /** The newest first. */
  readonly dirs: readonly string[]
  /** Told of the last snapshot that can be read. */
  readonly end: { readonly dir: string; readonly problem: SnapshotProblem } | undefined
  /** Of their memory files. */
  readonly totalBytes: number
}

const memoryBytesOf = (heads: readonly SnapshotHead[]): number =>
  heads.reduce((total, { manifest }) => total + manifest.memory.file.size, 0)

/** Where a chain ends too early, its last snapshot has a problem; a parent that is there has more to tell itself. */
const planWith = ({ heads, end }: Walk): Plan => {
  const dirs = heads.map(({ dir }) => dir)
  const last = dirs.at(-1)
  const totalBytes = memoryBytesOf(heads)
  if (end === undefined || last === undefined) return { dirs, end: undefined, totalBytes }
  return {
    dirs: end._tag === "ParentUnreadable" ? [...dirs, end.parentDir] : dirs,
    end: { dir: last, problem: problemOf("parent", end) },
    totalBytes,
  }
}

/** One that cannot be read is looked at alone. */
const planFor = (dir: string, options: VerifyOptions): Effect.Effect<Plan> =>
  Effect.gen(function* () {
    const head = yield* Effect.result(readHead(dir))
    if (Result.isFailure(head)) return { dirs: [dir], end: undefined, totalBytes: 0 }
    if (options.chain === false) return planWith({ heads: [head.success], end: undefined })
    return planWith(yield* walkChain(head.success, options))
  })

/** What is wrong with the memory file of a snapshot whose manifest can be read. */
const checkMemory = (
  head: SnapshotHead,
  memoryDigests: MemoryDigests | undefined,
  onScanned: (bytes: number) => void,
) =>
  Effect.gen(function* () {
    const { manifest } = head
    const opened = yield* Effect.result(openMemoryFile(head.dir, manifest))
    if (Result.isFailure(opened)) {
      if (opened.failure._tag === "SnapshotReadFailed") return yield* opened.failure
      return { problems: [problemOf("memory", opened.failure)], checkedBytes: 0 }
    }
    const fd = opened.success
    const table = yield* Effect.result(readRunTable(head, fd))
    if (Result.isFailure(table) && table.failure._tag === "SnapshotReadFailed") return yield* table.failure
    const runs = Result.isSuccess(table) ? table.success : undefined
    const problems = Result.isFailure(table) ? [problemOf("memory", table.failure)] : []
    if (memoryDigests === undefined) return { problems, checkedBytes: 0 }
    const path = join(head.dir, manifest.memory.file.name)
    const damaged = yield* verifyMemory({ path, fd, manifest, memoryDigests, runs }, onScanned)
    return { problems: [...problems, ...damaged], checkedBytes: manifest.memory.file.size }
  }).pipe(Effect.scoped)

const verifyLink = (dir: string, { end }: Plan, progress: StepProgress): Effect.Effect<LinkVerification, VerifyError> =>
  Effect.gen(function* () {
    const link = yield* examine(dir)
    const { header, manifest, memoryDigests, stateBytes } = link
    const memory = header && manifest && (yield* checkMemory({ dir, header, manifest }, memoryDigests, progress.at))
    progress.finish(manifest?.memory.file.size ?? 0)
    const atEnd = end?.dir === dir ? [end.problem] : []
    return {
      dir: resolve(dir),
      id: manifest?.id ?? header?.lineage?.id,
      problems: [...link.problems, ...(memory?.problems ?? []), ...atEnd],
      checkedBytes: stateBytes + (memory?.checkedBytes ?? 0),
      hasDigests: memoryDigests !== undefined,
    }
  })

/**
 * Checks a snapshot, and without `chain: false` also all that it is a difference to. Damage is a result: which part of
 * which snapshot, and for memory also which guest-physical addresses.
 *
 * Checked are the header, the digests and schemas of manifest, sections and digests, every section by the schema of its
 * component (optional ones that are not known here are left alone), and the memory file: its size, its table of runs,
 * and its content by chunks of 1 MiB, on a thread of its own and without the holes.
 */
export const verifySnapshot = (
  dir: string,
  options: VerifyOptions = {},
): Effect.Effect<SnapshotVerification, VerifyError> =>
  Effect.gen(function* () {
    const plan = yield* planFor(dir, options)
    const progress = stepProgress(plan.totalBytes, options.onProgress)
    const links = yield* Effect.forEach(plan.dirs, (each) => verifyLink(each, plan, progress))
    return { ok: links.every(({ problems }) => problems.length === 0), links }
  })

/** Fails where {@link verifySnapshot} finds damage. */
export const requireVerified = (
  dir: string,
  options: VerifyOptions = {},
): Effect.Effect<void, VerifyError | SnapshotDamaged> =>
  Effect.flatMap(verifySnapshot(dir, options), ({ ok, links }) =>
    ok ? Effect.void : Effect.fail(snapshotDamaged(dir, links)),
  )
