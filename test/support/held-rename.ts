/** Holds the last step of publishing a snapshot, the rename to its own name, for tests of what happens meanwhile. */
import promises from "node:fs/promises"
import { syncBuiltinESMExports } from "node:module"

export interface HeldRename extends Disposable {
  /** Resolves when the rename is asked for. */
  readonly reached: Promise<void>
  /** Lets it happen, or fail with an errno. */
  readonly letGo: (failure?: { readonly code: string }) => void
}

/** From now on, and until it is let go, nothing in this process is renamed. */
export const holdRename = (): HeldRename => {
  const { rename } = promises
  let letGo: HeldRename["letGo"] = () => {}
  const gate = new Promise<Parameters<HeldRename["letGo"]>[0]>((resolve) => {
    letGo = resolve
  })
  const reached = new Promise<void>((resolve) => {
    promises.rename = async (from, to) => {
      resolve()
      const failure = await gate
      if (failure !== undefined) throw Object.assign(new Error(failure.code), failure)
      return rename(from, to)
    }
  })
  syncBuiltinESMExports()
  return {
    reached,
    letGo,
    [Symbol.dispose]: () => {
      letGo()
      promises.rename = rename
      syncBuiltinESMExports()
    },
  }
}
