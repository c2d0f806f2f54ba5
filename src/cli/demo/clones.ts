/** Two machines restored at the same time from one snapshot, and whether either notices the other. */
import { GuestRequestFailed, MicroVm } from "../../index.ts"
import { continuityProblems, tickingProblems } from "./continuity.ts"
import { type Clone, type Reading, TICK_MS } from "./messages.ts"

const LOOKING_MS = 6 * TICK_MS
/** Each clone writes its own name there; no other guest may see it. */
const NOTE = "/clone-name"

interface Restored {
  readonly name: string
  readonly vm: MicroVm
  readonly milliseconds: number
  readonly beginning: Reading
}

const restoreOne = async (dir: string, name: string, signal: AbortSignal): Promise<Restored> => {
  const began = performance.now()
  const vm = await MicroVm.restore(dir, { resume: true, signal })
  try {
    const beginning = await vm.guest.counter({ signal })
    return { name, vm, milliseconds: performance.now() - began, beginning }
  } catch (error) {
    await vm.stop()
    throw error
  }
}

const stopAll = (machines: readonly Restored[]): Promise<unknown> => Promise.all(machines.map(({ vm }) => vm.stop()))

/** All of them, or none left running. */
const restoreAll = async (dir: string, names: readonly string[], signal: AbortSignal): Promise<readonly Restored[]> => {
  const settled = await Promise.allSettled(names.map((name) => restoreOne(dir, name, signal)))
  const machines = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []))
  const failed = settled.find((each) => each.status === "rejected")
  if (failed === undefined) return machines
  await stopAll(machines)
  throw failed.reason
}

const counterAt = async (machines: readonly Restored[], signal: AbortSignal): Promise<readonly Reading[]> =>
  Promise.all(machines.map(({ vm }) => vm.guest.counter({ signal })))

/** Whether a guest that is no clone sees what the clones wrote. */
const seesNote = async (vm: MicroVm, signal: AbortSignal): Promise<boolean> => {
  try {
    await vm.guest.readFile(NOTE, { signal })
    return true
  } catch (error) {
    if (error instanceof GuestRequestFailed && error.errnoName === "ENOENT") return false
    throw error
  }
}

export interface Cloning {
  readonly clones: readonly Clone[]
  /** From the first call of `restore` until every clone had answered. */
  readonly milliseconds: number
  readonly problems: readonly string[]
}

/**
 * Restores two clones at once. The first stops its counter, the second lets it run; each writes a file of the same
 * name.
 * @param original a machine restored before from the same snapshot
 * @param saved the last reading before the snapshot
 */
export const makeClones = async (
  dir: string,
  original: MicroVm,
  saved: Reading,
  signal: AbortSignal,
): Promise<Cloning> => {
  const began = performance.now()
  const machines = await restoreAll(dir, ["A", "B"], signal)
  const milliseconds = performance.now() - began
  try {
    await machines[0]?.vm.guest.startCounter(0, { signal })
    await Promise.all(machines.map(({ vm, name }) => vm.guest.writeFile(NOTE, name, { signal })))
    const first = await counterAt(machines, signal)
    await Promise.all(machines.map(({ vm }) => vm.guest.sleep(LOOKING_MS, { signal })))
    const last = await counterAt(machines, signal)
    const notes = await Promise.all(machines.map(({ vm }) => vm.guest.readFile(NOTE, { signal })))
    const clones = machines.map(({ name, vm, milliseconds, beginning }, index) => ({
      name,
      milliseconds,
      beginning,
      first: first[index] ?? beginning,
      last: last[index] ?? beginning,
      note: Buffer.from(notes[index] ?? []).toString(),
      residentBytes: vm.residentBytes,
    }))
    const seen = (await seesNote(original, signal)) ? ["the first restored guest sees a clone's file"] : []
    return { clones, milliseconds, problems: [...seen, ...cloneProblems(clones, saved)] }
  } finally {
    await stopAll(machines)
  }
}

const cloneProblems = (clones: readonly Clone[], saved: Reading): readonly string[] =>
  clones.flatMap((clone, index) => {
    const problems = [...continuityProblems(saved, clone.beginning, { tickMs: TICK_MS, readings: 1 })]
    if (clone.note !== clone.name) problems.push(`its file says "${clone.note}"`)
    if (index > 0) problems.push(...tickingProblems(clone.first, clone.last))
    else if (clone.last.value !== clone.first.value + 1n) problems.push("its counter was stopped and goes on")
    return problems.map((problem) => `clone ${clone.name}: ${problem}`)
  })
