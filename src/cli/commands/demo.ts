/** `cryovm demo`, and the hidden command of its processes. */
import { type Command, Option } from "commander"
import type { CliContext } from "../context.ts"
import { LIFE_COMMAND } from "../demo/messages.ts"
import { addCommonOptions, type CommonOptions } from "../options.ts"
import { printJson } from "../output/json.ts"
import { notEmpty } from "../usage.ts"

interface DemoOptions extends CommonOptions {
  readonly keep?: string
}

const runDemo = async ({ keep, json }: DemoOptions, context: CliContext): Promise<void> => {
  const { demo, DemoFailed } = await import("../demo/demo.ts")
  const outcome = await demo({ keep, isQuiet: json === true }, context.signal)
  if (json) {
    // The object tells of the problems, too: it must not be followed by another one.
    context.json = false
    printJson(outcome)
  }
  if (outcome.problems.length > 0) throw new DemoFailed(outcome.problems)
}

const examples = `  cryovm demo
  cryovm demo --keep warm && cryovm restore warm
  cryovm demo --json | jq .milliseconds`

export const registerDemo = (program: Command, context: CliContext): void => {
  const command = program
    .command("demo")
    .summary("boot, save, restore and clone a guest, and show that it went on")
    .description(
      "Boot a guest that counts, save it, end its process, restore it in another, and clone it twice. Fails when the\n" +
        "counter did not go on where it was, or when it is another guest.",
    )
    .addOption(
      new Option("--keep <dir>", "keep the snapshot there (default: a temporary directory, removed)").argParser(
        notEmpty,
      ),
    )
  addCommonOptions(command, "print one JSON object at the end, and nothing else", examples).action(
    (options: DemoOptions) => runDemo(options, context),
  )
  program.command(LIFE_COMMAND, { hidden: true }).action(async () => {
    const { liveHere } = await import("../demo/life.ts")
    await liveHere(context)
  })
}
