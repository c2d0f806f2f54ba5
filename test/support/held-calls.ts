/** Holds a step of writing a snapshot, for tests of what happens meanwhile. */
import promises from "node:fs/promises"
import { syncBuiltinESMExports } from "node:module"

export interface HeldCall extends Disposable {
  /** Resolves when the step is reached. */
  readonly reached: Promise<void>
  /** Lets it happen, or fail with an errno. */
  readonly letGo: (failure?: { readonly code: string }) => void
}

type Call = (...given: readonly never[]) => Promise<unknown>

/** From now on, and until they are let go, the calls of a function of `node:fs/promises` that are meant wait. */
const holdCalls = (name: "open" | "rename", isMeant: (given: readonly unknown[]) => boolean): HeldCall => {
  const functions = promises as unknown as Record<typeof name, Call>
  const call = functions[name]
  let letGo: HeldCall["letGo"] = () => {}
  const gate = new Promise<Parameters<HeldCall["letGo"]>[0]>((resolve) => {
    letGo = resolve
  })
  const reached = new Promise<void>((resolve) => {
    functions[name] = async (...given) => {
      if (!isMeant(given)) return call(...given)
      resolve()
      const failure = await gate
      if (failure !== undefined) throw Object.assign(new Error(failure.code), failure)
      return call(...given)
    }
  })
  syncBuiltinESMExports()
  return {
    reached,
    letGo,
    [Symbol.dispose]: () => {
      letGo()
      functions[name] = call
      syncBuiltinESMExports()
    },
  }
}

/** The last step, the rename to the snapshot's own name. */
export const holdRename = (): HeldCall => holdCalls("rename", () => true)

/** The making of the memory file, just before the machine is paused. */
export const holdMemoryFile = (): HeldCall => holdCalls("open", ([, flags]) => flags === "wx")
