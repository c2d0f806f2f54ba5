/** Errors as data: for the report, for JSON, and to be sent from one process of ours to another. */

export interface ErrorDescription {
  readonly message: string
  /** `CRYOVM_*` for errors of the library, an errno for those of the system. */
  readonly code?: string
  /** What led to it, the nearest first. */
  readonly causes: readonly { readonly message: string; readonly code?: string }[]
  /** Registers of the vCPU, where it is one that failed. */
  readonly registers?: Readonly<Record<string, bigint>>
  /** Where it was thrown; only for what is nobody's mistake but ours. */
  readonly stack?: string
}

/** The options of the command line by the fields of the configuration that they set. */
const OPTIONS: ReadonlyMap<string, string> = new Map([
  ["memoryMib", "--memory"],
  ["vcpus", "--vcpus"],
  ["kernel", "--kernel"],
  ["kernel.path", "--kernel"],
  ["initramfs", "--initramfs"],
  ["initramfs.path", "--initramfs"],
  ["extraCommandLine", "--append"],
  ["label", "--label"],
])

interface Fields {
  readonly message?: unknown
  readonly code?: unknown
  readonly cause?: unknown
  readonly issues?: unknown
  readonly registers?: unknown
}

const fieldsOf = (error: unknown): Fields => (typeof error === "object" && error !== null ? error : {})

const codeOf = ({ code }: Fields): { readonly code?: string } => (typeof code === "string" ? { code } : {})

const issueText = ({ path, message }: { readonly path: string; readonly message: string }): string =>
  path === "" ? message : `${OPTIONS.get(path) ?? path}: ${message}`

const messageOf = (error: unknown): string => {
  const { message, code, issues } = fieldsOf(error)
  // The library names fields of its configuration; whoever types a command knows options.
  if (code === "CRYOVM_CONFIG_INVALID" && Array.isArray(issues)) return issues.map(issueText).join("; ")
  return typeof message === "string" && message !== "" ? message : String(error)
}

const causesOf = (error: unknown): ErrorDescription["causes"] => {
  const causes: { message: string; code?: string }[] = []
  const seen = new Set([error])
  for (let cause = fieldsOf(error).cause; cause !== undefined && !seen.has(cause); cause = fieldsOf(cause).cause) {
    seen.add(cause)
    causes.push({ message: messageOf(cause), ...codeOf(fieldsOf(cause)) })
  }
  return causes
}

/** The registers of a failed vCPU, wherever in the chain it is. */
const registersOf = (error: unknown, depth = 0): Pick<ErrorDescription, "registers"> => {
  const { registers, cause } = fieldsOf(error)
  if (typeof registers === "object" && registers !== null) {
    return { registers: registers as Readonly<Record<string, bigint>> }
  }
  return cause === undefined || depth > 8 ? {} : registersOf(cause, depth + 1)
}

export const describeError = (error: unknown): ErrorDescription => {
  const code = codeOf(fieldsOf(error))
  const stack =
    code.code === undefined && error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {}
  return { message: messageOf(error), ...code, causes: causesOf(error), ...registersOf(error), ...stack }
}

/** An error of another process of ours, as it described it. */
export class RemoteError extends Error {
  override readonly name = "RemoteError"
  readonly code: string | undefined
  readonly registers: Readonly<Record<string, bigint>> | undefined

  constructor(description: ErrorDescription) {
    super(description.message)
    this.code = description.code
    this.registers = description.registers
    const [nearest, ...further] = description.causes
    if (nearest !== undefined) this.cause = new RemoteError({ ...nearest, causes: further })
    if (description.stack !== undefined) this.stack = description.stack
  }
}
