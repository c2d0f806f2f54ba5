/** Makes fsync fail, for tests of what a snapshot does then. */
import { type FileHandle, open } from "node:fs/promises"

/** The prototype of Node's file handles, which it does not export. */
const fileHandles = async (): Promise<Pick<FileHandle, "sync">> => {
  const handle = await open("/dev/null")
  await handle.close()
  return Object.getPrototypeOf(handle)
}

/** From now on the fsync after the next `succeeding` of them fails, once. Gives what makes all as it was. */
export const failingSync = async (succeeding: number): Promise<Disposable> => {
  const handles = await fileHandles()
  const { sync } = handles
  let left = succeeding
  handles.sync = function (this: FileHandle) {
    if (left-- === 0) return Promise.reject(Object.assign(new Error("EIO: i/o error, fsync"), { code: "EIO" }))
    return sync.call(this)
  }
  return {
    [Symbol.dispose]: () => {
      handles.sync = sync
    },
  }
}
