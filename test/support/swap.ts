/** Swap of a test's own. Turning it on needs root; where it is not allowed such tests are skipped and counted. */
import { spawnSync } from "node:child_process"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { compile, run } from "./compile.ts"

const succeeds = (command: string, args: readonly string[]): boolean => spawnSync(command, args).status === 0

/** A swap file without holes, which the kernel would not take. */
const makeSwapFile = (path: string, bytes: number): void => {
  const fd = openSync(path, "wx", 0o600)
  const piece = Buffer.alloc(2 ** 20)
  for (let at = 0; at < bytes; at += piece.length) writeSync(fd, piece)
  closeSync(fd)
}

/** Turns swap of `bytes` on until the end of its `using`, with a program beside it that takes memory out into it. */
export const swapSpace = (bytes: number) => {
  const folder = mkdtempSync(join(tmpdir(), "cryovm-swap-"))
  const file = join(folder, "swap")
  const remove = () => rmSync(folder, { recursive: true, force: true })
  makeSwapFile(file, bytes)
  if (!(succeeds("mkswap", [file]) && succeeds("swapon", [file]))) {
    remove()
    throw new Error("cannot turn swap on")
  }
  return {
    /** Takes memory of this process out, as far as the kernel does; reads of it bring it back. */
    pageOut: (address: bigint, length: number): void => {
      run(compile("page-out", folder), [String(process.pid), String(address), String(length)])
    },
    [Symbol.dispose]: (): void => {
      succeeds("swapoff", [file])
      remove()
    },
  }
}

/** Whether this process may turn swap on. */
export const canSwap = (): boolean => {
  try {
    using _probe = swapSpace(2 ** 20)
    return true
  } catch {
    return false
  }
}

/** Where this process has mapped a file: one run of addresses, however many mappings it consists of. */
export const addressesOf = (path: string): { readonly start: bigint; readonly end: bigint } => {
  const addresses = readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => line.endsWith(` ${path}`))
    .flatMap((line) => (line.split(" ")[0] ?? "").split("-").map((digits) => BigInt(`0x${digits}`)))
  const [start, end] = [addresses[0], addresses.at(-1)]
  if (start === undefined || end === undefined) throw new Error(`${path} is not mapped`)
  return { start, end }
}

/** Bytes of this process that are in swap. */
export const swappedBytes = (): number => {
  const line = /^VmSwap:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))
  return Number(line?.[1]) * 1024
}
