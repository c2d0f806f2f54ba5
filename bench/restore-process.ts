/** A process of its own that restores the snapshot it is told of, says so in one line, and stays until it is ended. */
import { MicroVm } from "../src/index.ts"

const vm = await MicroVm.restore(process.argv[2]!)
process.stdout.write("restored\n")
await vm.stopped()
