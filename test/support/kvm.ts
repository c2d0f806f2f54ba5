/**
 * Tests that need a working /dev/kvm.
 *
 * Without one they fail, each with the reason, so that a machine without KVM never looks as if all had been tested.
 * `CRYOVM_SKIP_KVM=1` says that this is known: then they are skipped, and counted as skipped.
 */
import { accessSync, constants } from "node:fs"
import { test } from "uvu"

export const kvmPath = "/dev/kvm"

const reasonWithoutKvm = (): string | undefined => {
  try {
    accessSync(kvmPath, constants.R_OK | constants.W_OK)
    return undefined
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}

/** Registers a test like uvu's `test(name, callback)`. The file still ends with `test.run()` of uvu. */
export const kvmTest = (name: string, callback: () => void | Promise<void>): void => {
  if (process.env.CRYOVM_SKIP_KVM === "1") {
    test.skip(name, callback)
    return
  }
  const reason = reasonWithoutKvm()
  if (reason === undefined) {
    test(name, callback)
    return
  }
  test(name, () => {
    throw new Error(`this test needs ${kvmPath}: ${reason} (CRYOVM_SKIP_KVM=1 skips it)`)
  })
}
