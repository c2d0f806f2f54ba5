/** The demo's second process: brings the guest back, looks whether it went on, and makes two clones of it. */
import { MicroVm } from "../../index.ts"
import { makeClones } from "./clones.ts"
import { type DemoMessage, type Reading, TICK_MS } from "./messages.ts"

const LOOKING_MS = 6 * TICK_MS
const COMMAND = "uname -a"

/**
 * @param dir where the snapshot is
 * @param saved the last reading before it was taken
 */
export const secondLife = async (
  dir: string,
  saved: Reading,
  tell: (message: DemoMessage) => void,
  signal: AbortSignal,
): Promise<void> => {
  const began = performance.now()
  await using vm = await MicroVm.restore(dir, { signal })
  const back = performance.now()
  await vm.resume({ signal })
  const running = performance.now()
  const first = await vm.guest.counter({ signal })
  const answered = performance.now()
  await vm.guest.sleep(LOOKING_MS, { signal })
  tell({
    type: "restored",
    restoreMilliseconds: back - began,
    resumeMilliseconds: running - back,
    answerMilliseconds: answered - began,
    first,
    last: await vm.guest.counter({ signal }),
    residentBytes: vm.residentBytes,
  })

  const asked = performance.now()
  const { stdout, exitCode } = await vm.guest.exec(COMMAND, { signal })
  tell({ type: "ran", command: COMMAND, output: stdout.trimEnd(), exitCode, milliseconds: performance.now() - asked })
  tell({ type: "cloned", ...(await makeClones(dir, vm, saved, signal)) })
}
