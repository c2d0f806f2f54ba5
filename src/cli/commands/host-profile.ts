/** `cryovm host-profile`: what this host is, for a check of compatibility made elsewhere. */
import { writeFile } from "node:fs/promises"
import { type Command, Option } from "commander"
import type { HostProfile } from "../../index.ts"
import type { CliContext } from "../context.ts"
import { addCommonOptions, type CommonOptions } from "../options.ts"
import { formatBytes } from "../output/format.ts"
import { indented, table } from "../output/table.ts"
import { painter, printable } from "../output/terminal.ts"
import { notEmpty } from "../usage.ts"

interface HostProfileOptions extends CommonOptions {
  readonly output?: string
}

const UNKNOWN = "not known"

const kindText = ({ kvmKind, kvmModules }: HostProfile): string =>
  kvmKind === null ? UNKNOWN : `${kvmKind}${kvmModules === null ? "" : ` (${kvmModules.join(", ")})`}`

const rowsOf = (host: HostProfile): readonly (readonly [string, string])[] => {
  const { cpu, tscKhz, tscScales, memoryBytes, availableMemoryBytes, cryovm } = host
  const scaling = tscScales === true ? "scales" : "does not scale"
  return [
    ["architecture", host.architecture],
    ["processor", `${cpu.vendor} ${cpu.brand}`.trim()],
    ["", `family ${cpu.family}, model ${cpu.model}, stepping ${cpu.stepping}`],
    ["kernel", host.kernelRelease],
    ["KVM", kindText(host)],
    ["CPUID", `${host.supportedCpuid?.length ?? 0} entries`],
    ["MSRs", `${host.msrIndices?.length ?? 0}`],
    ["capabilities", `${Object.values(host.capabilities).filter((value) => value > 0).length}`],
    ["TSC", tscKhz === 0 ? UNKNOWN : `${(tscKhz / 1000).toFixed(1)} MHz, ${scaling}`],
    ["memory", memoryBytes === null ? UNKNOWN : formatBytes(memoryBytes)],
    ["available", availableMemoryBytes === null ? UNKNOWN : formatBytes(availableMemoryBytes)],
    ["cryovm", cryovm?.version ?? UNKNOWN],
    ["Node.js", host.nodeVersion],
  ]
}

const show = async ({ json, output }: HostProfileOptions, { signal }: CliContext): Promise<void> => {
  const { formatHostProfile, hostProfile } = await import("../../index.ts")
  const host = await hostProfile({ signal })
  if (output !== undefined) await writeFile(output, formatHostProfile(host))
  if (json) process.stdout.write(formatHostProfile(host))
  else if (output === undefined) {
    const paint = painter(process.stdout)
    process.stdout.write(
      indented(table(rowsOf(host).map(([field, value]) => [paint("bold", field), printable(value)])), ""),
    )
  }
}

const examples = `  cryovm host-profile                                 what decides whether a snapshot runs here
  cryovm host-profile --output there.json             for a check on another host
  cryovm snapshot check warm --host there.json        does it run there?`

export const registerHostProfile = (program: Command, context: CliContext): void => {
  const command = program
    .command("host-profile")
    .summary("what this host is, to ask elsewhere whether a snapshot runs here")
    .description(
      "Measure what decides whether a snapshot runs on this host: processor, kernel, KVM, memory, cryovm. As JSON, it\n" +
        'can be asked on another host ("cryovm snapshot check --host").',
    )
    .addOption(new Option("-o, --output <file>", "write the profile there, as JSON").argParser(notEmpty))
  addCommonOptions(command, "print the profile as JSON", examples).action((options: HostProfileOptions) =>
    show(options, context),
  )
}
