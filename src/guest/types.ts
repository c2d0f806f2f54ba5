/** What the guest agent is asked, and what it answers. */

export interface ExecOptions {
  /** Working directory in the guest; `/` by default. */
  readonly cwd?: string
  /** Added to the agent's own environment. */
  readonly env?: Readonly<Record<string, string>>
  /** Given to the program's standard input, then end of file. At most 512 KiB. */
  readonly stdin?: string | Uint8Array
  /** Milliseconds after which the guest kills the program's process group; `timedOut` tells of it. */
  readonly timeoutMs?: number
  /** Most bytes of each output stream to hold; more ends in {@link GuestOutputTooLarge}. 16 MiB by default. */
  readonly maxOutputBytes?: number
  /** `false`: output goes to the listeners only, without a limit, and the result's is empty. */
  readonly collectOutput?: boolean
  /** Called with each piece of output as it comes. */
  readonly onStdout?: (piece: Uint8Array) => void
  readonly onStderr?: (piece: Uint8Array) => void
}

export interface ExecResult {
  /** Exit status; 128 + signal number where a signal ended the program. */
  readonly exitCode: number
  /** Signal that ended the program; 0 for none. */
  readonly signal: number
  readonly timedOut: boolean
  /** Standard output as UTF-8 text. */
  readonly stdout: string
  readonly stderr: string
  readonly stdoutBytes: Uint8Array
  readonly stderrBytes: Uint8Array
}

export interface AgentHello {
  readonly protocolVersion: number
  /** Random, made once when the guest booted: equal as long as it is the same guest. */
  readonly bootNonce: bigint
  readonly kernelRelease: string
  readonly agentVersion: string
}

export interface FillMemoryOptions {
  /** Byte that every page is filled with; 0xa5 by default. */
  readonly pattern?: number
  /** Ask for 2 MiB pages. */
  readonly huge?: boolean
  /** Keep the memory after the call; release it with the handle. */
  readonly hold?: boolean
}

export interface FillMemoryResult {
  /** For `releaseMemory` and `readMemory`; 0 where nothing is held. */
  readonly handle: number
  readonly nanoseconds: bigint
  /** Signal that ended the filling program: 9 when the guest's OOM killer took it. */
  readonly signal: number
  /** Bytes of it in huge pages. */
  readonly hugeBytes: bigint
}

export interface ReadMemoryResult {
  readonly pages: bigint
  readonly pagesNotPattern: bigint
  readonly pagesNotZero: bigint
  readonly signal: number
}

export interface GuestTime {
  /** CLOCK_MONOTONIC, nanoseconds. */
  readonly monotonic: bigint
  /** CLOCK_BOOTTIME, nanoseconds. */
  readonly boottime: bigint
  /** CLOCK_REALTIME, nanoseconds since 1970. */
  readonly realtime: bigint
}

export interface GuestCounter {
  readonly value: bigint
  readonly bootNonce: bigint
  /** CLOCK_MONOTONIC when it was read, nanoseconds. */
  readonly monotonic: bigint
}

export interface ReseedOptions {
  /** 16 to 512 bytes that nobody can guess; 64 of the host's own generator by default. */
  readonly entropy?: Uint8Array
}
