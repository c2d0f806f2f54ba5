/** Run as a process of its own, to be killed: restores argv[2] and saves it again and again under argv[3]. */
import { join } from "node:path"
import { MicroVm } from "../../src/index.ts"

const [from = "", under = ""] = process.argv.slice(2)
const vm = await MicroVm.restore(from, { resume: true })
process.send?.("ready")
for (let count = 0; ; count++) await vm.snapshot({ dir: join(under, `${process.pid}-${count}`) })
