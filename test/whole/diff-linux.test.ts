// time limit: 600 s
/** Diffs of a Linux guest that works with its devices: its agent, its balloon, its entropy. */
import { join } from "node:path"
import { test } from "uvu"
import * as assert from "uvu/assert"
import { MicroVm } from "../../src/index.ts"
import { balloonGuest, balloonOf, fill, inflateTo } from "../support/balloon-guest.ts"
import { MIB } from "../support/guest-rss.ts"
import { kvmTest } from "../support/kvm.ts"
import { assertSame } from "../support/same-snapshot.ts"
import { temporaryDirectory } from "../support/temporary.ts"

const PAGE = 4096

for (const trackDirtyPages of [true, false]) {
  const how = trackDirtyPages ? "with a log" : "without a log"
  kvmTest(`restored ${how}: what was given to the host is zero in a diff, and all of memory comes back`, async () => {
    using scratch = temporaryDirectory()
    const [base, inflated, deflated] = [join(scratch.path, "base"), join(scratch.path, "1"), join(scratch.path, "2")]
    {
      await using first = await balloonGuest({ freePageHinting: true })
      // Freed again, with a pattern left in it: what the balloon takes is not zero in the base.
      await fill(first, 150)
      await first.snapshot({ dir: base })
    }
    await using vm = await MicroVm.restore(base, { trackDirtyPages, resume: true })
    await inflateTo(vm, 16)
    await balloonOf(vm).startHinting()
    await vm.guest.sleep(1000)
    const one = await vm.snapshot({ dir: inflated, type: "diff", parent: base })
    assert.is(one.tracking, trackDirtyPages ? "dirty-log" : "pagemap")
    const zeroBytes = one.pages * PAGE - one.writtenBytes
    assert.ok(zeroBytes > 4 * MIB, `${zeroBytes} bytes became zero`)
    assert.ok(one.writtenBytes < 32 * MIB, `${one.writtenBytes} bytes were written`)
    await inflateTo(vm, 0)
    await vm.guest.exec("head -c 5000 /dev/hwrng > /tmp/entropy; date")
    await fill(vm, 8)
    await vm.pause()
    const two = await vm.snapshot({ dir: deflated, type: "diff", parent: inflated })
    assert.is(two.tracking, trackDirtyPages ? "dirty-log" : "compare")
    const [full, again] = [join(scratch.path, "full"), join(scratch.path, "again")]
    await vm.snapshot({ dir: full })
    await using copy = await MicroVm.restore(deflated)
    await copy.snapshot({ dir: again })
    await assertSame(full, again)
    await copy.resume()
    assert.is((await copy.guest.exec("cat /tmp/entropy | wc -c")).stdout.trim(), "5000")
  })
}

test.run()
