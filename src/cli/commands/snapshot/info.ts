/** `cryovm snapshot info`: what a snapshot says of itself. */
import { stat } from "node:fs/promises"
import { join } from "node:path"
import type { Command } from "commander"
import type { SnapshotDescription } from "../../../index.ts"
import type { CliContext } from "../../context.ts"
import { addCommonOptions, type CommonOptions } from "../../options.ts"
import { formatBytes, plural } from "../../output/format.ts"
import { printJson } from "../../output/json.ts"
import { indented, table } from "../../output/table.ts"
import { type Paint, painter, printable } from "../../output/terminal.ts"

const PAGE_BYTES = 4096

const sizeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ size }) => size,
    () => undefined,
  )

const fileText = (name: string, apparent: number | undefined, onDisk: number): string =>
  apparent === undefined ? `${name}: MISSING` : `${name}: ${formatBytes(apparent)}, ${formatBytes(onDisk)} on disk`

const hostText = ({ cpu, kernelRelease, nodeVersion }: SnapshotDescription["host"]): string => {
  const model = `family ${cpu.family}, model ${cpu.model}, stepping ${cpu.stepping}`
  return `${cpu.brand || cpu.vendor} (${model}); Linux ${kernelRelease}, Node ${nodeVersion}`
}

const memoryText = ({ memory, changedBytes }: SnapshotDescription): string => {
  if (memory.diff === null) return "all of it"
  if (changedBytes === null) return "what changed since the parent, which cannot be read"
  const pages = plural(changedBytes.data / PAGE_BYTES, "page")
  return `what changed since the parent: ${pages} (${formatBytes(changedBytes.data)}), and ${formatBytes(changedBytes.zeros)} that became zero`
}

const parentRows = ({ parent }: SnapshotDescription): readonly (readonly [string, string])[] =>
  parent === null
    ? []
    : [
        ["parent", parent.name === undefined ? parent.id : `${parent.id}, which was ${parent.name} beside it`],
        ["", `header digest ${parent.digest}`],
      ]

/** Field and value, in the order of interest. */
const rowsOf = async (snapshot: SnapshotDescription): Promise<readonly (readonly [string, string])[]> => {
  const { machine, memory, diskBytes, producer, components } = snapshot
  const stateName = "state.cryo"
  const [stateSize, memorySize] = await Promise.all([
    sizeOf(join(snapshot.dir, stateName)),
    sizeOf(join(snapshot.dir, memory.file.name)),
  ])
  return [
    ["snapshot", snapshot.id],
    ["", `header digest ${snapshot.digest}`],
    ["directory", snapshot.dir],
    ...(machine.label === undefined ? [] : [["label", machine.label] as const]),
    ["created", snapshot.createdAt],
    ["by", `${producer.name} ${producer.version}`],
    ["type", `${snapshot.type}, ${snapshot.architecture}, format ${snapshot.formatVersion}`],
    ...parentRows(snapshot),
    ["machine", `${plural(machine.vcpuCount, "vCPU")}, ${formatBytes(machine.memoryBytes)} of memory`],
    ["memory", memoryText(snapshot)],
    ["", snapshot.hasMemoryDigests ? "with digests, by which damage is found" : "without digests to find damage by"],
    ["files", fileText(stateName, stateSize, diskBytes.state)],
    ["", fileText(memory.file.name, memorySize, diskBytes.memory)],
    ["host", hostText(snapshot.host)],
    ["TSC", snapshot.host.tscKhz === 0 ? "frequency not known" : `${(snapshot.host.tscKhz / 1000).toFixed(1)} MHz`],
    ...snapshot.resources.map(
      ({ name, kind, path }, index) => [index === 0 ? "needs" : "", `${name} (${kind}): ${path}`] as const,
    ),
    ["components", `${components.length}`],
  ]
}

const componentRows = ({ components }: SnapshotDescription): readonly (readonly string[])[] =>
  components.map(({ name, kind, version, optional }) => [
    printable(name),
    printable(kind),
    `version ${version}`,
    optional === true ? "optional" : "",
  ])

const printDescription = async (snapshot: SnapshotDescription, paint: Paint): Promise<void> => {
  const rows = (await rowsOf(snapshot)).map(([field, value]) => [paint("bold", field), printable(value)])
  process.stdout.write(indented(table(rows), ""))
  process.stdout.write(indented(table(componentRows(snapshot))))
}

const info = async (dir: string, options: CommonOptions, { signal }: CliContext): Promise<void> => {
  const { inspectSnapshot } = await import("../../../index.ts")
  const snapshot = await inspectSnapshot(dir, { signal })
  if (options.json) printJson(snapshot)
  else await printDescription(snapshot, painter(process.stdout))
}

const examples = `  cryovm snapshot info warm
  cryovm snapshot info warm --json | jq .machine.memoryBytes`

/** @param snapshot the command that this belongs to */
export const registerSnapshotInfo = (snapshot: Command, context: CliContext): void => {
  const command = snapshot
    .command("info")
    .summary("what a snapshot says of itself")
    .description("Show what a snapshot says of itself. Its state and its memory are not checked.")
    .argument("<dir>", "the snapshot's directory")
  addCommonOptions(command, "print the manifest as JSON", examples).action((dir: string, options: CommonOptions) =>
    info(dir, options, context),
  )
}
