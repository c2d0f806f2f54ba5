/** What the tests of rolling back need: snapshots of tiny guests, and KVM that fails at a chosen step. */
import { join } from "node:path"
import { MicroVm, type MicroVmConfig } from "../../src/index.ts"
import { KvmError, loadNative, type NativeVm } from "../../src/native.ts"
import { countsTo } from "./exchange.ts"
import { counterMachine } from "./tiny-kernel.ts"

export const started = async (config: MicroVmConfig): Promise<MicroVm> => {
  const vm = await MicroVm.create(config)
  await vm.start()
  return vm
}

/** A snapshot of a machine that runs, which is then gone. */
export const snapshotOf = async (config: MicroVmConfig, folder: string, name = "snap"): Promise<string> => {
  await using vm = await started(config)
  return (await vm.snapshot({ dir: join(folder, name) })).dir
}

/** A counter that runs and has come to 4, and a snapshot of it at 2. */
export const counterAtFour = async (
  folder: string,
  config: MicroVmConfig = counterMachine,
  name = "two",
): Promise<{ readonly vm: MicroVm; readonly dir: string }> => {
  const vm = await started(config)
  const dir = join(folder, name)
  for (const count of [1, 2]) await countsTo(vm, count)
  await vm.snapshot({ dir })
  for (const count of [3, 4]) await countsTo(vm, count)
  return { vm, dir }
}

/** The error that a promise ends in. */
export const failureOf = async <E extends Error = Error & { readonly code: string }>(
  promise: Promise<unknown>,
): Promise<E> => {
  try {
    await promise
  } catch (error) {
    return error as E
  }
  throw new Error("it succeeded")
}

/** Until it is disposed of, machines are made by `change` of the addon's. */
export const changedKvm = (change: (vm: NativeVm) => void): Disposable => {
  const native = loadNative()
  const { createVm } = native
  const replace = (by: typeof createVm): void => void Object.assign(native, { createVm: by })
  replace((path, options) => {
    const vm = createVm(path, options)
    change(vm)
    return vm
  })
  return { [Symbol.dispose]: () => replace(createVm) }
}

/** Until it is disposed of, a step of every new machine fails as KVM would. */
export const failingKvm = (step: keyof NativeVm): Disposable =>
  changedKvm((vm) => {
    const failing = (): never => {
      throw new KvmError({ message: `${step} fails for the test`, operation: step, errno: 12, errnoName: "ENOMEM" })
    }
    Object.defineProperty(vm, step, { value: failing })
  })
