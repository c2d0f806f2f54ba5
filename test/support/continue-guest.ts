/** Run as a process of its own: restores argv[2], reads the guest's counter, saves to argv[3]. */
import { MicroVm } from "../../src/index.ts"

const [from = "", to = ""] = process.argv.slice(2)
await using vm = await MicroVm.restore(from, { resume: true })
await vm.guest.sleep(500)
const { value, bootNonce } = await vm.guest.counter()
await vm.snapshot({ dir: to })
process.send?.({ value, bootNonce })
process.disconnect()
