/**
 * Run as a process of its own: restores argv[2] with its balloon, lets statistics go on, fills, inflates to argv[3]
 * MiB, and tells the parent what it saw.
 */
import { MicroVm } from "../../src/index.ts"
import { balloonOf, fill, inflateTo } from "./balloon-guest.ts"
import { guestRss } from "./guest-rss.ts"

const [from = "", target = ""] = process.argv.slice(2)
await using vm = await MicroVm.restore(from)
const balloon = balloonOf(vm)
const atRestore = { target: balloon.target, actual: balloon.actual }
const polled = (async () => {
  for await (const statistics of balloon.statisticsStream) return statistics
  return undefined
})()
await vm.resume()
if (atRestore.target !== atRestore.actual) await balloon.waitFor(atRestore.target)
const statistics = await polled
const restored = guestRss()
await fill(vm, 60)
const filled = guestRss()
await inflateTo(vm, Number(target))
const inflated = guestRss()
const { availableMemory } = await balloon.statistics({ refresh: true })
process.send?.({
  atRestore,
  availableAtFirst: statistics?.availableMemory,
  restored,
  filled,
  inflated,
  availableMemory,
})
process.disconnect()
