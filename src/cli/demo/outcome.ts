/** All that the demo found out: gathered from messages, judged, and the object that `--json` prints. */
import type { SnapshotInfo } from "../../index.ts"
import { continuityProblems, tickingProblems } from "./continuity.ts"
import type { FileSize } from "./files.ts"
import { type DemoMessage, type Reading, TICK_MS } from "./messages.ts"

type Told<Type extends DemoMessage["type"]> = Extract<DemoMessage, { readonly type: Type }>

/** Filled as the messages come. */
export class Outcome {
  firstPid: number | undefined
  secondPid: number | undefined
  files: readonly FileSize[] = []
  readonly #told = new Map<DemoMessage["type"], DemoMessage>()

  add(message: DemoMessage): void {
    this.#told.set(message.type, message)
  }

  get<Type extends DemoMessage["type"]>(type: Type): Told<Type> {
    const message = this.#told.get(type)
    if (message === undefined) throw new Error(`the demo's process ended without telling "${type}"`)
    return message as Told<Type>
  }

  /** The last reading before the snapshot. */
  get saved(): Reading {
    return this.get("counted").last
  }

  get snapshot(): SnapshotInfo {
    return this.get("saved").info
  }

  /** Why the restored guest is not the saved one gone on. */
  get problemsOfContinuity(): readonly string[] {
    const { first, last } = this.get("restored")
    return [...continuityProblems(this.saved, first, { tickMs: TICK_MS, readings: 1 }), ...tickingProblems(first, last)]
  }

  get problems(): readonly string[] {
    const { exitCode, command } = this.get("ran")
    const ofCommand = exitCode === 0 ? [] : [`"${command}" ended with exit code ${exitCode}`]
    return [...this.problemsOfContinuity, ...ofCommand, ...this.get("cloned").problems]
  }

  /** Name and milliseconds of each step, in order. */
  get steps(): readonly (readonly [string, number])[] {
    const { restoreMilliseconds, resumeMilliseconds, answerMilliseconds } = this.get("restored")
    const { clones, milliseconds } = this.get("cloned")
    return [
      ["boot, to the agent's first answer", this.get("booted").milliseconds],
      ["pause", this.get("paused").milliseconds],
      ["save, durable on disk", this.get("saved").milliseconds],
      ["restore", restoreMilliseconds],
      ["resume", resumeMilliseconds],
      ["restore, to the guest's first answer", answerMilliseconds],
      [`${clones.length} clones at once, to the first answer of all`, milliseconds],
    ]
  }

  toJSON(): unknown {
    const { kernelRelease, vcpus, memoryMib } = this.get("booted")
    const restored = this.get("restored")
    const { command, output } = this.get("ran")
    const { clones, milliseconds: cloneMilliseconds } = this.get("cloned")
    const reading = ({ value, bootNonce, monotonic }: Reading) => ({
      value: Number(value),
      bootNonce: `0x${bootNonce.toString(16).padStart(16, "0")}`,
      monotonic: monotonic.toString(),
    })
    return {
      ok: this.problems.length === 0,
      problems: this.problems,
      guest: { kernelRelease, vcpus, memoryMib },
      processes: { first: this.firstPid, second: this.secondPid },
      counter: {
        tickMilliseconds: TICK_MS,
        beforeSnapshot: reading(this.saved),
        afterRestore: reading(restored.first),
        later: reading(restored.last),
      },
      command: { command, output },
      clones: clones.map(({ beginning, first, last, ...clone }) => ({
        ...clone,
        afterRestore: reading(beginning),
        first: reading(first),
        last: reading(last),
      })),
      snapshot: this.snapshot,
      milliseconds: {
        boot: this.get("booted").milliseconds,
        pause: this.get("paused").milliseconds,
        save: this.get("saved").milliseconds,
        restore: restored.restoreMilliseconds,
        resume: restored.resumeMilliseconds,
        restoreToFirstAnswer: restored.answerMilliseconds,
        clonesToFirstAnswer: cloneMilliseconds,
      },
      residentBytes: restored.residentBytes,
      files: this.files,
    }
  }
}
