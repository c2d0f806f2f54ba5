/** `cryovm run`: boots a guest. */
import type { Command } from "commander"
import type { CliContext } from "../context.ts"
import { addMachineOptions, type MachineOptions, machineConfig } from "../machine-options.ts"
import { addCommonOptions, addSessionOptions, type SessionOptions, sessionHelp } from "../options.ts"
import { UsageError } from "../usage.ts"

interface RunOptions extends SessionOptions, MachineOptions {
  readonly agent: boolean
}

const run = async (options: RunOptions, context: CliContext): Promise<number> => {
  if (!options.agent && options.exec !== undefined) {
    throw new UsageError("--exec and --no-agent exclude each other: it is the agent that runs commands")
  }
  const { MicroVm } = await import("../../index.ts")
  const { planSession, runSession } = await import("../session/session.ts")
  const plan = await planSession(options, context)
  const began = performance.now()
  await using vm = await MicroVm.create(
    { ...machineConfig(options), devices: { agent: options.agent } },
    { signal: context.signal },
  )
  await vm.start({ signal: context.signal })
  return await runSession(vm, plan, { verb: "booted", activity: "booting", began }, context)
}

const examples = `  cryovm run                                      a shell of lines in the embedded guest
  cryovm run --exec "uname -a; free -m"           one command, its output and its exit code
  cryovm run --memory 512 --vcpus 2 --console     watch it boot
  cryovm run --exec true --snapshot-on-exit warm  a snapshot to restore from
  cryovm run --kernel vmlinux --initramfs root.cpio --append "quiet"
  tar c . | cryovm run --stdin --exec "tar t"     standard input for the command`

export const registerRun = (program: Command, context: CliContext): void => {
  const command = program
    .command("run")
    .summary("boot a guest")
    .description("Boot a guest: run a command in it, or attach the terminal to it.")
  addMachineOptions(command).option("--no-agent", "leave out the device that the guest's agent speaks through")
  addSessionOptions(command).addHelpText("after", sessionHelp)
  addCommonOptions(command, "with --exec: print one JSON object instead of the output", examples).action(
    async (options: RunOptions) => {
      process.exitCode = await run(options, context)
    },
  )
}
