/**
 * Freezes snapshots of this release: `node dist/test/support/freeze-snapshot.js <format>/<name> full|chain`, once for
 * each release that writes something new. An older format than that of this release is written where nothing is lost by
 * it. The guest is a few bytes of code, with two vCPUs and every device; memory files are kept compressed. What is frozen
 * already is never written again.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { brotliCompressSync } from "node:zlib"
import * as Effect from "effect/Effect"
import { MicroVm } from "../../src/index.ts"
import { readStateFile } from "../../src/snapshot/bundle/bundle.ts"
import { encodeEnvelope } from "../../src/state/envelope.ts"
import { exchange } from "./exchange.ts"
import { snapshotsDir } from "./frozen.ts"
import { temporaryDirectory } from "./temporary.ts"
import { everyDeviceMachine } from "./tiny-kernel.ts"

/** Copies one snapshot to where it is kept. */
const freeze = async (from: string, to: string, formatVersion: number): Promise<void> => {
  const { manifest, sections, memoryDigests } = await Effect.runPromise(readStateFile(from))
  const { name } = manifest.memory.file
  mkdirSync(to)
  writeFileSync(join(to, "state.cryo"), encodeEnvelope({ manifest, sections, memoryDigests, formatVersion }))
  writeFileSync(join(to, `${name}.br`), brotliCompressSync(readFileSync(join(from, name))))
}

const [name = "", kind = ""] = process.argv.slice(2)
const [format = "", label = ""] = name.split("/")
if (label === "" || !["full", "chain"].includes(kind))
  throw new Error("usage: freeze-snapshot.js <format>/<name> full|chain")
using scratch = temporaryDirectory()
await using vm = await MicroVm.create({ ...everyDeviceMachine, label: `frozen ${label}` })
await vm.start()
await exchange(vm, "a")
await vm.snapshot({ dir: join(scratch.path, "0") })
await exchange(vm, "b")
await vm.snapshot({ dir: join(scratch.path, "1"), type: "diff", parent: join(scratch.path, "0") })
await exchange(vm, "c")
const last = { dir: join(scratch.path, "2"), parent: join(scratch.path, "1") }
await vm.snapshot(kind === "full" ? { dir: last.dir } : { ...last, type: "diff" })
const to = join(snapshotsDir, name)
mkdirSync(join(snapshotsDir, format), { recursive: true })
if (kind === "full") await freeze(last.dir, to, Number(format))
else {
  mkdirSync(to)
  for (const link of ["0", "1", "2"]) await freeze(join(scratch.path, link), join(to, link), Number(format))
}
console.log(`frozen: ${to}`)
