import { spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, fdatasyncSync, mkdirSync, openSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { MicroVm } from "../../src/index.ts"
import { CommandedGuest, fillableMib, guestConfig, guestMib } from "../guest.ts"
import { MEBIBYTE } from "../pages.ts"
import { Qemu, type QemuOptions, qemuVersion } from "../qemu/qemu.ts"
import { type Context, now, type Scenario, type Steps } from "../scenario.ts"

const USED_MIB = 4
const used = `restore, ${USED_MIB} MiB written`
const mapped = "restore; QEMU: mapped"
const mappedProcess = "new process; QEMU: mapped"

const restoreProgram = fileURLToPath(new URL("../restore-process.js", import.meta.url))

/** The two that are saved, over and over; filled alike. */
let vm: MicroVm | undefined
let peer: Qemu | undefined
let sizes: { cryovm: number; qemu: number } = { cryovm: 0, qemu: 0 }

const folderOf = ({ folder }: Context): string => join(folder, "qemu")
const pathIn = (context: Context, name: string): string => join(folderOf(context), name)

const fileMib = (path: string): number => (statSync(path).blocks * 512) / MEBIBYTE

const qemuOptions = (context: Context): QemuOptions => ({
  memoryMib: guestMib(context.memoryMib),
  folder: folderOf(context),
})

/** Writes where QEMU maps its memory from, so that a restore need not read it. */
const saveMapped = async (context: Context): Promise<void> => {
  const memoryFile = { path: pathIn(context, "mapped.ram"), share: true }
  await using qemu = await Qemu.start({ ...qemuOptions(context), memoryFile })
  await qemu.command("fill", fillableMib(guestMib(context.memoryMib)))
  await qemu.qmp.execute("stop")
  const fd = openSync(pathIn(context, "mapped.state"), "w")
  await qemu.qmp.giveFile(fd, "saved")
  await qemu.qmp.migrate("migrate", "fd:saved")
  closeSync(fd)
}

const prepare = async (context: Context): Promise<void> => {
  mkdirSync(folderOf(context))
  await saveMapped(context)
  vm = await MicroVm.create(guestConfig(guestMib(context.memoryMib)))
  await vm.start()
  await new CommandedGuest(vm).command("fill", fillableMib(guestMib(context.memoryMib)))
  await vm.pause()
  peer = await Qemu.start(qemuOptions(context))
  await peer.command("fill", fillableMib(guestMib(context.memoryMib)))
}

const saveQemu = async (context: Context, { qmp }: Qemu): Promise<Steps> => {
  const path = pathIn(context, "saved")
  rmSync(path, { force: true })
  // It does not save twice what did not run in between.
  await qmp.execute("cont")
  await sleep(10)
  await qmp.execute("stop")
  const fd = openSync(path, "w")
  await qmp.giveFile(fd, "saved")
  const start = now()
  await qmp.migrate("migrate", "fd:saved")
  const saved = now()
  fdatasyncSync(fd)
  const durable = now()
  closeSync(fd)
  sizes = { ...sizes, qemu: fileMib(path) }
  return { save: saved - start, "save, durable": durable - start }
}

/** @returns nanoseconds with and without those until it takes commands */
const restoreQemu = async (context: Context, name: string, memoryFile?: QemuOptions["memoryFile"]) => {
  const fd = openSync(pathIn(context, name), "r")
  const start = now()
  const ram = memoryFile === undefined ? {} : { memoryFile }
  const qemu = await Qemu.start({ ...qemuOptions(context), incoming: true, fd, ...ram })
  const ready = now()
  await qemu.qmp.migrate("migrate-incoming", "fd:3")
  const restored = now()
  closeSync(fd)
  return { qemu, all: restored - start, restore: restored - ready }
}

const runQemu = async (context: Context): Promise<Steps> => {
  const saved = await saveQemu(context, peer!)
  const { qemu, all, restore } = await restoreQemu(context, "saved")
  const start = now()
  await qemu.qmp.execute("cont")
  await qemu.command("pages", USED_MIB)
  const written = now() - start
  await qemu[Symbol.asyncDispose]()
  const ram = { path: pathIn(context, "mapped.ram"), share: false }
  const lazy = await restoreQemu(context, "mapped.state", ram)
  await lazy.qemu[Symbol.asyncDispose]()
  return {
    ...saved,
    restore,
    "new process": all,
    [used]: restore + written,
    [mapped]: lazy.restore,
    [mappedProcess]: lazy.all,
  }
}

const restoreInProcess = async (dir: string): Promise<number> => {
  const start = now()
  const child = spawn(process.execPath, [restoreProgram, dir], { stdio: ["ignore", "pipe", "inherit"] })
  await once(child.stdout, "data")
  const took = now() - start
  const ended = once(child, "exit")
  child.kill("SIGKILL")
  await ended
  return took
}

const runOwn = async (context: Context): Promise<Steps> => {
  const dir = pathIn(context, "snapshot")
  rmSync(dir, { recursive: true, force: true })
  const { milliseconds } = await vm!.snapshot({ dir })
  sizes = { ...sizes, cryovm: fileMib(join(dir, "memory.img")) + fileMib(join(dir, "state.cryo")) }
  const start = now()
  await using copy = await MicroVm.restore(dir)
  const restored = now()
  await copy.resume()
  await new CommandedGuest(copy).command("pages", USED_MIB)
  const written = now()
  const process = await restoreInProcess(dir)
  const restore = restored - start
  return {
    save: (milliseconds.state + milliseconds.memory) * 1e6,
    "save, durable": milliseconds.total * 1e6,
    restore,
    "new process": process,
    [used]: written - start,
    [mapped]: restore,
    [mappedProcess]: process,
  }
}

export const qemu: Scenario = {
  name: "qemu",
  description:
    "a paused guest whose memory is full of data, saved and restored paused; QEMU (microvm) saves to a file descriptor " +
    "and reads all memory on restore, or maps it as cryovm does (x-ignore-shared). The same kernel filled both from " +
    "inside. GB/s of guest memory",
  get peer() {
    return `QEMU ${qemuVersion()}`
  },
  maximumRuns: 7,
  unavailable: () =>
    qemuVersion() === undefined
      ? `QEMU is not installed ("npm run bench -- --install" as root installs it)`
      : undefined,
  bytes: ({ memoryMib }) => {
    const all = guestMib(memoryMib) * MEBIBYTE
    return { save: all, "save, durable": all }
  },
  prepare,
  run: runOwn,
  runFloor: runQemu,
  conclude: () => [
    { name: "size of a save by cryovm", value: sizes.cryovm, unit: "MiB" },
    { name: "size of a save by QEMU", value: sizes.qemu, unit: "MiB" },
  ],
  finish: async (context) => {
    await vm?.stop()
    await peer?.[Symbol.asyncDispose]()
    rmSync(folderOf(context), { recursive: true, force: true })
  },
}
