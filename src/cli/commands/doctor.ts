/** `cryovm doctor`: what this host can and cannot do, and what to do about it. */
import type { Command } from "commander"
import { packageVersion } from "../../version.ts"
import type { CliContext } from "../context.ts"
import type { Check, CheckStatus } from "../doctor/check.ts"
import { type HostSummary, hostSummary } from "../doctor/host.ts"
import { ExitCode } from "../exit-codes.ts"
import { addCommonOptions, type CommonOptions } from "../options.ts"
import { formatBytes, plural } from "../output/format.ts"
import { printJson } from "../output/json.ts"
import { indented, table } from "../output/table.ts"
import { type Paint, painter, printable } from "../output/terminal.ts"

/** Each step only where those before it leave something to be found out. */
const examine = async (signal: AbortSignal): Promise<readonly Check[]> => {
  const { checkAddon, checkNode, checkPlatform } = await import("../doctor/platform-checks.ts")
  const { checkResources } = await import("../doctor/resource-checks.ts")
  const { checkGuest, checkMachine } = await import("../doctor/guest-checks.ts")
  const { checkKvm } = await import("../doctor/kvm-checks.ts")
  const checks: Check[] = [checkNode(), checkPlatform(), await checkAddon()]
  const isAddonThere = checks.every(({ status }) => status !== "missing")
  if (isAddonThere) checks.push(...(await checkKvm()))
  checks.push(await checkGuest(signal))
  if (checks.every(({ status }) => status !== "missing")) checks.push(await checkMachine(signal))
  return [...checks, ...(await checkResources())]
}

const SIGNS: Readonly<Record<CheckStatus, readonly [text: string, format: Parameters<Paint>[0]]>> = {
  ok: ["ok", "green"],
  warning: ["warning", "yellow"],
  missing: ["MISSING", "red"],
}

const printChecks = (checks: readonly Check[], host: HostSummary, paint: Paint): void => {
  const nested = host.isVirtual ? ", itself a virtual machine" : ""
  const { cpu, cpuCount, memoryBytes, kernelRelease } = host
  const rows = checks.flatMap(({ title, status, detail, remedy }) => {
    const [sign, format] = SIGNS[status]
    const row = [paint(format, sign), title, printable(detail)]
    return remedy === undefined ? [row] : [row, ["", "", paint("bold", `-> ${printable(remedy)}`)]]
  })
  process.stdout.write(
    `cryovm ${packageVersion} on Linux ${kernelRelease}${nested}\n` +
      `${cpu.trim()}, ${plural(cpuCount, "processor")}, ${formatBytes(memoryBytes)} of memory\n\n${indented(table(rows))}\n`,
  )
}

const verdict = (checks: readonly Check[], paint: Paint): string => {
  const missing = checks.filter(({ status }) => status === "missing").length
  const warnings = checks.filter(({ status }) => status === "warning").length
  if (missing > 0) return paint("red", `This host cannot run guests: ${plural(missing, "thing")} missing.`)
  const but = warnings === 0 ? "" : ` (${plural(warnings, "warning")})`
  return paint("green", `This host can run guests${but}.`)
}

const doctor = async ({ json }: CommonOptions, { signal }: CliContext): Promise<number> => {
  const checks = await examine(signal)
  const host = await hostSummary()
  const ok = checks.every(({ status }) => status !== "missing")
  if (json) printJson({ ok, version: packageVersion, host, checks })
  else {
    const paint = painter(process.stdout)
    printChecks(checks, host, paint)
    process.stdout.write(`${verdict(checks, paint)}\n`)
  }
  return ok ? ExitCode.ok : ExitCode.failure
}

const examples = `  cryovm doctor
  cryovm doctor --json | jq '.checks[] | select(.status != "ok")'`

export const registerDoctor = (program: Command, context: CliContext): void => {
  const command = program
    .command("doctor")
    .summary("what this host can and cannot do")
    .description(
      "Find out what this host can and cannot do, with a remedy for what it cannot. Exits with 1 when something is\n" +
        "missing that nothing runs without.",
    )
  addCommonOptions(command, "print one JSON object", examples).action(async (options: CommonOptions) => {
    process.exitCode = await doctor(options, context)
  })
}
