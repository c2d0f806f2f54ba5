/** The demo: a guest that is saved by one process and goes on in another. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { fileSizes } from "./files.ts"
import { live } from "./life.ts"
import { Outcome } from "./outcome.ts"
import { Story } from "./story.ts"

/** The guest that came back is not the one that was saved, or not gone on. */
export class DemoFailed extends Error {
  override readonly name = "DemoFailed"
  readonly code = "CRYOVM_DEMO_FAILED"

  constructor(problems: readonly string[]) {
    super(`the demo did not show what it should: ${problems.join("; ")}`)
  }
}

/** A process that has ended, and was waited for, has no number any more. */
const isGone = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

const tell = async (dir: string, kept: boolean, isQuiet: boolean, signal: AbortSignal): Promise<Outcome> => {
  const outcome = new Outcome()
  using story = new Story(outcome, isQuiet)
  const onMessage = (message: Parameters<Outcome["add"]>[0]): void => {
    outcome.add(message)
    story.take(message)
  }

  outcome.firstPid = await live({ life: "first", dir }, { onStart: (pid) => story.firstLife(pid), onMessage }, signal)
  if (!isGone(outcome.firstPid)) throw new DemoFailed([`process ${outcome.firstPid} is still there`])
  story.firstLifeEnded(outcome.firstPid)
  outcome.files = await fileSizes(dir)
  const { saved } = outcome
  outcome.secondPid = await live(
    { life: "second", dir, saved },
    { onStart: (pid) => story.secondLife(pid), onMessage },
    signal,
  )
  story.close(kept)
  return outcome
}

/**
 * @param options.keep where the snapshot goes and stays; a temporary directory otherwise
 * @throws DemoFailed
 */
export const demo = async (
  { keep, isQuiet }: { readonly keep: string | undefined; readonly isQuiet: boolean },
  signal: AbortSignal,
): Promise<Outcome> => {
  if (keep !== undefined) return tell(resolve(keep), true, isQuiet, signal)
  const parent = await mkdtemp(join(tmpdir(), "cryovm-demo-"))
  try {
    return await tell(join(parent, "snapshot"), false, isQuiet, signal)
  } finally {
    await rm(parent, { recursive: true, force: true })
  }
}
