/** `cryovm restore`: brings a guest back from a snapshot. */
import { once } from "node:events"
import type { Command } from "commander"
import type { MicroVm } from "../../index.ts"
import type { CliContext } from "../context.ts"
import { ExitCode } from "../exit-codes.ts"
import {
  addCommonOptions,
  addParentsOption,
  addResourceOption,
  addSessionOptions,
  type ParentsOptions,
  type ResourceCliOptions,
  type SessionOptions,
  sessionHelp,
} from "../options.ts"
import { formatBytes, formatDuration, plural } from "../output/format.ts"
import { printJson } from "../output/json.ts"
import { printable } from "../output/terminal.ts"
import { say } from "../session/say.ts"
import { UsageError } from "../usage.ts"

interface RestoreOptions extends SessionOptions, ParentsOptions, ResourceCliOptions {
  readonly keepPaused?: boolean
  readonly force?: boolean
  readonly verify?: boolean
}

const MIB = 2 ** 20

const checkOptions = ({ keepPaused, exec }: RestoreOptions): void => {
  if (keepPaused && exec !== undefined) {
    throw new UsageError("--keep-paused and --exec exclude each other: a paused guest runs nothing")
  }
}

/** What came back, before its guest has run an instruction. */
const showPaused = (dir: string, vm: MicroVm, milliseconds: number, json: boolean): void => {
  const { vcpus, memoryMib, label } = vm.machine
  if (json) {
    printJson({
      dir,
      state: vm.state,
      vcpus,
      memoryMib,
      label: label ?? null,
      residentBytes: vm.residentBytes,
      milliseconds: { restore: milliseconds },
    })
    return
  }
  const name = label === undefined ? "" : ` "${printable(label)}"`
  process.stdout.write(
    `restored${name} in ${formatDuration(milliseconds)}, paused: ${plural(vcpus, "vCPU")}, ` +
      `${formatBytes(memoryMib * MIB)} of memory, ${formatBytes(vm.residentBytes)} of it resident\n`,
  )
}

/** @returns false where nobody is there to press it */
const awaitEnter = async (signal: AbortSignal): Promise<boolean> => {
  if (!process.stdin.isTTY) return false
  say("Enter lets the guest run, Ctrl-C ends it")
  await once(process.stdin, "data", { signal }).finally(() => process.stdin.pause())
  return true
}

const restore = async (dir: string, options: RestoreOptions, context: CliContext): Promise<number> => {
  checkOptions(options)
  const { signal } = context
  const { MicroVm } = await import("../../index.ts")
  const { planSession, runSession } = await import("../session/session.ts")
  const plan = await planSession(options.keepPaused ? { ...options, json: false } : options, context)
  const began = performance.now()
  const { force = false, verify = false, parents = [], resource: resources = {} } = options
  await using vm = await MicroVm.restore(dir, { signal, force, verify, parents, resources })
  if (options.keepPaused) {
    showPaused(dir, vm, performance.now() - began, options.json === true)
    if (options.json || !(await awaitEnter(signal))) return ExitCode.ok
  }
  const resumed = options.keepPaused ? performance.now() : began
  await vm.resume({ signal })
  return await runSession(vm, plan, { verb: "restored", activity: "waiting for the guest", began: resumed }, context)
}

const examples = `  cryovm restore warm --exec "uptime"           one command in the guest as it was saved
  cryovm restore warm                           a shell of lines in it
  cryovm restore warm --keep-paused             does it restore here, and how fast?
  cryovm restore warm --exec "touch /seen" --snapshot-on-exit seen
  cryovm restore seen --parents /snapshots      a difference whose parents are in another folder
  cryovm restore warm --resource disk0=/copy    with a file outside of it in another place`

export const registerRestore = (program: Command, context: CliContext): void => {
  const command = program
    .command("restore")
    .summary("bring a guest back from a snapshot")
    .description("Bring a guest back from a snapshot, and go on with it. The snapshot stays as it is.")
    .argument("<dir>", "the snapshot's directory")
    .option("--force", 'restore it even where "cryovm snapshot check" says that it will not run')
    .option("--verify", 'look for damage first, as "cryovm snapshot verify" does')
    .option("--keep-paused", "say what came back, and let it run at Enter; without a terminal, end")
  addSessionOptions(addResourceOption(addParentsOption(command))).addHelpText("after", sessionHelp)
  addCommonOptions(command, "with --exec or --keep-paused: print one JSON object", examples).action(
    async (dir: string, options: RestoreOptions) => {
      process.exitCode = await restore(dir, options, context)
    },
  )
}
