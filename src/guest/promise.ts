/**
 * The guest agent as Promises, word for word what `agent.ts` gives as Effects.
 */
import { type AbortOptions, run } from "../promise.ts"
import type { GuestAgent } from "./agent.ts"
import type {
  AgentHello,
  ExecOptions,
  ExecResult,
  FillMemoryOptions,
  FillMemoryResult,
  GuestCounter,
  GuestTime,
  ReadMemoryResult,
  ReseedOptions,
} from "./types.ts"

/** The agent in the guest. */
export class Guest {
  readonly #agent: GuestAgent

  constructor(agent: GuestAgent) {
    this.#agent = agent
  }

  /** Waits until the agent answers; 60 seconds at most by default. */
  ready(options: { readonly timeoutMs?: number } & AbortOptions = {}): Promise<AgentHello> {
    return run(this.#agent.ready(options), options)
  }

  /**
   * Runs a program and waits for its end; a string is given to `/bin/sh -c`. Aborting kills its process group.
   * @throws GuestRequestFailed where it cannot be started; a program that fails is no error, see `exitCode`
   */
  exec(command: string | readonly string[], options: ExecOptions & AbortOptions = {}): Promise<ExecResult> {
    return run(this.#agent.exec(command, options), options)
  }

  /** Reads a file whole. @param options.maxBytes 64 MiB by default */
  readFile(path: string, options: { readonly maxBytes?: number } & AbortOptions = {}): Promise<Uint8Array> {
    return run(this.#agent.readFile(path, options.maxBytes), options)
  }

  /** Writes a file whole. @param options.mode permission bits, 0o644 by default */
  writeFile(
    path: string,
    content: string | Uint8Array,
    options: { readonly mode?: number } & AbortOptions = {},
  ): Promise<void> {
    return run(this.#agent.writeFile(path, content, options.mode), options)
  }

  /** The guest's clocks. */
  time(options?: AbortOptions): Promise<GuestTime> {
    return run(this.#agent.time(), options)
  }

  /** Answers after `ms` milliseconds of the guest's own time. */
  sleep(ms: number, options?: AbortOptions): Promise<void> {
    return run(this.#agent.sleep(ms), options)
  }

  /** Makes the agent's counter grow by one every `tickMs` milliseconds; 0 stops it. */
  startCounter(tickMs: number, options?: AbortOptions): Promise<void> {
    return run(this.#agent.startCounter(tickMs), options)
  }

  /** Reads the agent's counter, which also grows by one at each reading. */
  counter(options?: AbortOptions): Promise<GuestCounter> {
    return run(this.#agent.counter(), options)
  }

  /** `/proc/meminfo` in bytes by name, and `/proc/vmstat`. */
  memoryInfo(
    options?: AbortOptions,
  ): Promise<{ readonly meminfo: ReadonlyMap<string, number>; readonly vmstat: ReadonlyMap<string, number> }> {
    return run(this.#agent.memoryInfo(), options)
  }

  /** Writes back and drops the guest's page cache; `compact` also compacts memory. */
  dropCaches(options: { readonly compact?: boolean } & AbortOptions = {}): Promise<void> {
    return run(this.#agent.dropCaches(options), options)
  }

  /** Touches `mib` MiB of memory in a program of its own, filling each page. */
  fillMemory(mib: number, options: FillMemoryOptions & AbortOptions = {}): Promise<FillMemoryResult> {
    return run(this.#agent.fillMemory(mib, options), options)
  }

  /** Gives back what `fillMemory` held. */
  releaseMemory(handle: number, options?: AbortOptions): Promise<void> {
    return run(this.#agent.releaseMemory(handle), options)
  }

  /** Counts the pages of held memory that lost their pattern. */
  verifyMemory(handle: number, options?: AbortOptions): Promise<ReadMemoryResult> {
    return run(this.#agent.verifyMemory(handle), options)
  }

  /** Maps `mib` MiB of fresh memory and counts the pages that are not zero. */
  readFreshMemory(mib: number, options: { readonly huge?: boolean } & AbortOptions = {}): Promise<ReadMemoryResult> {
    return run(this.#agent.readFreshMemory(mib, options), options)
  }

  /** Pages of raw physical memory, from page frame `firstPfn`, that are not zero. */
  readPhysical(firstPfn: bigint, count: number, options?: AbortOptions): Promise<bigint> {
    return run(this.#agent.readPhysical(firstPfn, count), options)
  }

  /**
   * Gives the guest's kernel entropy and makes it take new keys for its random numbers at once. Two machines restored
   * from one snapshot may otherwise draw the same. What was drawn before stays, and so do generators of programs' own.
   * @throws GuestAgentTooOld in a guest that was booted by a release before this request, GuestEntropyInvalid
   */
  reseed(options: ReseedOptions & AbortOptions = {}): Promise<void> {
    return run(this.#agent.reseed(options), options)
  }

  /** Asks the guest to end: by a reset, which stops the machine, or by a halt. */
  powerOff(how: "reset" | "halt" = "reset", options?: AbortOptions): Promise<void> {
    return run(this.#agent.powerOff(how), options)
  }
}
