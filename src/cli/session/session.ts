/** What `run` and `restore` do with a machine that runs: one command, a shell of lines, or the serial console. */
import type { MicroVm, SnapshotInfo } from "../../index.ts"
import type { CliContext } from "../context.ts"
import { ExitCode } from "../exit-codes.ts"
import type { SessionOptions } from "../options.ts"
import { formatDuration } from "../output/format.ts"
import { printJson } from "../output/json.ts"
import { UsageError } from "../usage.ts"
import { awaitAgent } from "./await-agent.ts"
import { runLineShell } from "./line-shell.ts"
import { readInput, runCommand } from "./run-command.ts"
import { notesFor } from "./say.ts"
import { attachConsole } from "./serial-console.ts"
import { SnapshotTarget, savedText } from "./snapshot-target.ts"

/** How a session came to its machine. */
export interface SessionStart {
  /** `booted`, `restored`. */
  readonly verb: string
  /** What the live line says while the agent is waited for. */
  readonly activity: string
  /** When `create` or `restore` was called, by `performance.now()`. */
  readonly began: number
}

/** Checked before a machine is made for it. */
export interface SessionPlan {
  readonly options: SessionOptions
  readonly target: SnapshotTarget
  readonly stdin: Uint8Array | undefined
}

export const planSession = async (options: SessionOptions, { signal }: CliContext): Promise<SessionPlan> => {
  if (options.json && options.exec === undefined)
    throw new UsageError("--json needs --exec: there is no object to print of a terminal session")
  if (options.stdin && options.exec === undefined) throw new UsageError("--stdin needs --exec")
  if (options.overwrite && options.snapshotOnExit === undefined)
    throw new UsageError("--overwrite needs --snapshot-on-exit")
  const target = new SnapshotTarget(options.snapshotOnExit, options.overwrite)
  await target.check()
  return { options, target, stdin: options.stdin ? await readInput(signal) : undefined }
}

const finish = async (
  vm: MicroVm,
  { options, target }: SessionPlan,
  signal: AbortSignal,
): Promise<SnapshotInfo | undefined> => {
  if (!target.onExit) return undefined
  const info = await target.save(vm, signal)
  notesFor(options)(savedText(info))
  return info
}

const commandSession = async (
  vm: MicroVm,
  command: string,
  plan: SessionPlan,
  start: SessionStart,
  signal: AbortSignal,
): Promise<number> => {
  const hello = await awaitAgent(vm, start.activity, signal)
  const ready = performance.now()
  notesFor(plan.options)(`${start.verb} Linux ${hello.kernelRelease} in ${formatDuration(ready - start.began)}`)
  const json = plan.options.json === true
  const result = await runCommand(vm, command, { stdin: plan.stdin, handOn: !json, signal })
  const ended = performance.now()
  const snapshot = await finish(vm, plan, signal)
  if (json) {
    const { exitCode, signal: endedBy, stdout, stderr } = result
    printJson({
      exitCode,
      signal: endedBy,
      stdout,
      stderr,
      kernelRelease: hello.kernelRelease,
      milliseconds: { ready: ready - start.began, exec: ended - ready },
      snapshot: snapshot ?? null,
    })
  }
  return result.exitCode
}

/** Only the guest that comes with the package is known to have an agent. */
const hasAgent = ({ machine }: MicroVm): boolean => machine.devices.agent && machine.initramfs?.source === "embedded"

/** @returns the exit code of the command */
export const runSession = async (
  vm: MicroVm,
  plan: SessionPlan,
  start: SessionStart,
  { signal }: CliContext,
): Promise<number> => {
  const { options, target } = plan
  const note = notesFor(options)
  if (options.exec !== undefined) return commandSession(vm, options.exec, plan, start, signal)

  let exitCode: number = ExitCode.ok
  let guestEnded: boolean
  if (options.console || !hasAgent(vm)) guestEnded = await attachConsole(vm, target, signal)
  else {
    const hello = await awaitAgent(vm, start.activity, signal)
    note(`${start.verb} Linux ${hello.kernelRelease} in ${formatDuration(performance.now() - start.began)}`)
    const outcome = await runLineShell(vm, target, signal)
    exitCode = outcome.exitCode
    guestEnded = outcome.guestEnded
  }
  if (guestEnded) {
    note("the guest has ended")
    if (target.onExit) throw new GuestEndedEarly()
  } else await finish(vm, plan, signal)
  return exitCode
}

/** The guest ended itself, and with it what was to be saved. */
class GuestEndedEarly extends Error {
  override readonly name = "GuestEndedEarly"
  readonly code = "CRYOVM_GUEST_ENDED"

  constructor() {
    super("no snapshot was taken: the guest ended before, and there is nothing left to save")
  }
}
