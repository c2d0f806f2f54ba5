/** The demo's first process: boots a guest, has it count, saves it, and is gone. */
import { MicroVm } from "../../index.ts"
import { ConsoleTail } from "../session/console-tail.ts"
import { type DemoMessage, TICK_MS } from "./messages.ts"

const CONSOLE_INTERVAL_MS = 200
const COUNTING_MS = 600

/** @param dir where the snapshot goes */
export const firstLife = async (
  dir: string,
  tell: (message: DemoMessage) => void,
  signal: AbortSignal,
): Promise<void> => {
  const began = performance.now()
  await using vm = await MicroVm.create({ label: "demo" }, { signal })
  await vm.start({ signal })
  const kernelRelease = await awaitBoot(vm, tell, signal)
  const { vcpus, memoryMib } = vm.machine
  tell({ type: "booted", kernelRelease, vcpus, memoryMib, milliseconds: performance.now() - began })

  await vm.guest.startCounter(TICK_MS, { signal })
  const first = await vm.guest.counter({ signal })
  await vm.guest.sleep(COUNTING_MS, { signal })
  tell({ type: "counted", first, last: await vm.guest.counter({ signal }) })

  const pausing = performance.now()
  await vm.pause({ signal })
  tell({ type: "paused", milliseconds: performance.now() - pausing })

  const saving = performance.now()
  const info = await vm.snapshot({ dir, onProgress: (progress) => tell({ type: "saving", progress }), signal })
  tell({ type: "saved", info, milliseconds: performance.now() - saving })
}

const awaitBoot = async (vm: MicroVm, tell: (message: DemoMessage) => void, signal: AbortSignal): Promise<string> => {
  await using tail = new ConsoleTail(vm.console.output)
  const timer = setInterval(() => tell({ type: "console", line: tail.last }), CONSOLE_INTERVAL_MS)
  try {
    return (await vm.guest.ready({ signal })).kernelRelease
  } finally {
    clearInterval(timer)
  }
}
