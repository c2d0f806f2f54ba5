/**
 * Freezes a snapshot of this release's format: `node dist/test/support/freeze-snapshot.js <name>`, once for each
 * release that writes something new. The guest is a few bytes of code, with two vCPUs and every device; its memory is
 * kept compressed. What is frozen already is never written again.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { brotliCompressSync } from "node:zlib"
import { MicroVm } from "../../src/index.ts"
import { FORMAT_VERSION } from "../../src/state/envelope.ts"
import { exchange } from "./exchange.ts"
import { snapshotsDir } from "./frozen.ts"
import { temporaryDirectory } from "./temporary.ts"
import { everyDeviceMachine } from "./tiny-kernel.ts"

const name = process.argv[2]
if (name === undefined) throw new Error("usage: freeze-snapshot.js <name>")
using scratch = temporaryDirectory()
const from = join(scratch.path, "snapshot")
{
  await using vm = await MicroVm.create({ ...everyDeviceMachine, label: `frozen ${name}` })
  await vm.start()
  await exchange(vm, "abc")
  await vm.snapshot({ dir: from })
}
const to = join(snapshotsDir, String(FORMAT_VERSION), name)
mkdirSync(join(snapshotsDir, String(FORMAT_VERSION)), { recursive: true })
mkdirSync(to)
writeFileSync(join(to, "state.cryo"), readFileSync(join(from, "state.cryo")))
writeFileSync(join(to, "memory.img.br"), brotliCompressSync(readFileSync(join(from, "memory.img"))))
console.log(`frozen: ${to}`)
