/** `cryovm snapshot create`: boots a guest, or brings one back, lets it do something, and saves it. */
import { type Command, Option } from "commander"
import type { ExecResult, MicroVm } from "../../../index.ts"
import type { CliContext } from "../../context.ts"
import { ExitCode } from "../../exit-codes.ts"
import { addMachineOptions, type MachineOptions, machineConfig } from "../../machine-options.ts"
import { addCommonOptions, addParentsOption, type CommonOptions, type ParentsOptions } from "../../options.ts"
import { printJson } from "../../output/json.ts"
import { ProgressBar } from "../../output/progress-bar.ts"
import { printable } from "../../output/terminal.ts"
import { awaitAgent } from "../../session/await-agent.ts"
import { runCommand } from "../../session/run-command.ts"
import { say } from "../../session/say.ts"
import { SnapshotTarget, savedText } from "../../session/snapshot-target.ts"
import { notEmpty, UsageError } from "../../usage.ts"

interface CreateOptions extends CommonOptions, MachineOptions, ParentsOptions {
  readonly exec?: string
  readonly from?: string
  readonly diff?: boolean
  readonly force?: boolean
  readonly overwrite?: boolean
}

const checkOptions = (options: CreateOptions): void => {
  const { from } = options
  if (from === undefined) {
    for (const name of ["diff", "force", "parents"] as const) {
      if (options[name] !== undefined) throw new UsageError(`--${name} needs --from`)
    }
    return
  }
  for (const name of ["memory", "vcpus", "kernel", "initramfs", "append", "label"] as const) {
    if (options[name] === undefined) continue
    throw new UsageError(`--${name} and --from exclude each other: the guest is what it was when it was saved`)
  }
}

const open = async (options: CreateOptions, signal: AbortSignal): Promise<MicroVm> => {
  const { MicroVm: Machine } = await import("../../../index.ts")
  const { from, force = false, parents = [] } = options
  if (from !== undefined) return Machine.restore(from, { force, parents, signal })
  return Machine.create(machineConfig(options), { signal })
}

/** Runs the command where there is one. A guest that was brought back for none stays as it was. */
const prepare = async (
  vm: MicroVm,
  { from, exec, json }: CreateOptions,
  signal: AbortSignal,
): Promise<ExecResult | undefined> => {
  if (from === undefined) {
    await vm.start({ signal })
    await awaitAgent(vm, "booting", signal)
  }
  if (exec === undefined) return undefined
  if (from !== undefined) {
    await vm.resume({ signal })
    await awaitAgent(vm, "waiting for the guest", signal)
  }
  return runCommand(vm, exec, { stdin: undefined, handOn: json !== true, signal })
}

const outcomeOf = (result: ExecResult | undefined) =>
  result === undefined
    ? null
    : { exitCode: result.exitCode, signal: result.signal, stdout: result.stdout, stderr: result.stderr }

const save = async (
  vm: MicroVm,
  dir: string,
  { from, diff, parents = [], overwrite = false }: CreateOptions,
  signal: AbortSignal,
) => {
  using progress = new ProgressBar("saving")
  const { onProgress } = progress
  if (diff !== true || from === undefined) return await vm.snapshot({ dir, overwrite, onProgress, signal })
  return await vm.snapshot({ dir, type: "diff", parent: from, parents, overwrite, onProgress, signal })
}

const create = async (dir: string, options: CreateOptions, { signal }: CliContext): Promise<number> => {
  checkOptions(options)
  await new SnapshotTarget(dir, options.overwrite).check()
  await using vm = await open(options, signal)
  const result = await prepare(vm, options, signal)
  if (result !== undefined && result.exitCode !== ExitCode.ok) {
    say(`no snapshot was taken: the command exited with ${result.exitCode}`)
    if (options.json) printJson({ snapshot: null, exec: outcomeOf(result) })
    return result.exitCode
  }
  const info = await save(vm, dir, options, signal)
  if (options.json) printJson({ snapshot: info, exec: outcomeOf(result) })
  else process.stdout.write(`${printable(savedText(info))}\n`)
  return ExitCode.ok
}

const examples = `  cryovm snapshot create warm                                        boot the embedded guest and save it
  cryovm snapshot create ready --exec "/setup.sh" --memory 512       after a command
  cryovm snapshot create layer --from warm --diff --exec "touch /x"  what the command changed
  cryovm snapshot create again --from layer                          all of it, anew`

/** @param snapshot the command that this belongs to */
export const registerSnapshotCreate = (snapshot: Command, context: CliContext): void => {
  const command = snapshot
    .command("create")
    .summary("boot a guest, or bring one back, and save it")
    .description(
      "Boot a guest and wait until its agent answers, or bring one back with --from; run a command in it, if there is\n" +
        "one; save it. A command that fails leaves no snapshot, and its exit code is passed on.",
    )
    .argument("<dir>", "the new snapshot's directory")
  addMachineOptions(command)
    .addOption(new Option("--exec <command>", "run a command with /bin/sh in the guest first").argParser(notEmpty))
    .addOption(new Option("--from <dir>", "bring the guest back from that snapshot").argParser(notEmpty))
    .option("--diff", "with --from: save only what differs from that snapshot, which is then needed to restore it")
    .option("--force", "with --from: restore it even where it is said not to run")
    .option("--overwrite", "let it take the place of a snapshot that is there already")
  addParentsOption(command)
  addCommonOptions(command, "print the snapshot, and what came of the command, as JSON", examples).action(
    async (dir: string, options: CreateOptions) => {
      process.exitCode = await create(dir, options, context)
    },
  )
}
