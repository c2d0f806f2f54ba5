/** Every scenario, in the order of a machine's life. A new one is a file beside this and a line here. */
import type { Scenario } from "../scenario.ts"
import { boot } from "./boot.ts"
import { chain } from "./chain.ts"
import { diff, written } from "./diff.ts"
import { diffPause } from "./diff-pause.ts"
import { discard } from "./discard.ts"
import { dump } from "./dump.ts"
import { flatten } from "./flatten.ts"
import { laid } from "./laid.ts"
import { linux } from "./linux.ts"
import { pause } from "./pause.ts"
import { qemu } from "./qemu.ts"
import { restore } from "./restore.ts"
import { state } from "./state.ts"
import { verify } from "./verify.ts"

export const scenarios: readonly Scenario[] = [
  boot,
  pause,
  state,
  dump,
  diff,
  written,
  diffPause,
  verify,
  discard,
  restore,
  laid,
  chain,
  flatten,
  linux,
  qemu,
]
