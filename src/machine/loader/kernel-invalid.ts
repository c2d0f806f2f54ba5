/** What a kernel image is refused for. */
import * as Data from "effect/Data"

/** A kernel image cannot be booted. */
export class KernelInvalid extends Data.TaggedError("KernelInvalid")<{
  readonly message: string
  /** The field of the image at fault, by the name of its specification (`p_paddr`, `boot_flag`), or `format`. */
  readonly field: string
}> {
  readonly code = "CRYOVM_KERNEL_INVALID"
}

export const kernelInvalid = (field: string, problem: string): KernelInvalid =>
  new KernelInvalid({ message: `the kernel image cannot be booted: ${problem} (${field})`, field })

export const hex = (value: number | bigint): string => `0x${value.toString(16)}`
